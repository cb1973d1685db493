#!/usr/bin/env bash
# Train and score one adaptation, unless it is done: scripts/finish_dann.sh NAME RECIPE [options].
# A stopped one goes on. RUNS and DATA in the environment say where it goes and where the digits are.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/scripts/python.sh
name=$1 recipe=$2 resume=--no-resume
shift 2
[[ -f $RUNS/$name/scores.json ]] && exit
[[ -f $RUNS/$name/config.json ]] && resume=--resume
case $recipe in
dsn*) script=train_dsn.py ;;
adamatch*) script=train_adamatch.py ;;
*) script=train_dann.py ;;
esac
"$python" "$root/$script" "$recipe" --runs "$RUNS" --name "$name" --data "$DATA" "$@" $resume
"$python" -m metrics.adaptation "$RUNS/$name"
