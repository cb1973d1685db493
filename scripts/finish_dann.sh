#!/usr/bin/env bash
# Train and score one run of train_dann.py, unless it is done: scripts/finish_dann.sh NAME RECIPE [options].
# A stopped one goes on. RUNS and DATA in the environment say where it goes and where the digits are.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/scripts/python.sh
name=$1 recipe=$2 resume=--no-resume
shift 2
[[ -f $RUNS/$name/scores.json ]] && exit
[[ -f $RUNS/$name/config.json ]] && resume=--resume
"$python" "$root/train_dann.py" "$recipe" --runs "$RUNS" --name "$name" --data "$DATA" "$@" $resume
"$python" -m metrics.adaptation "$RUNS/$name"
