#!/usr/bin/env bash
# Make what is missing of an experiment, and a page of its runs: scripts/reproduce.sh NAME [--jobs N] [--full] [-- OVERRIDES]
# The page lies in outputs/NAME. NAME is faces, face-ablation, vae, digits, adaptation, adamatch, ablation, claims, or report-000 to report-004 (python -m experiments --help).
set -uo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
"$here/python.sh" -m experiments "$@"
status=$?
name=${1:-} runs=runs options=()
[[ $name == report-* ]] && options=(--report "${name#report-}")
while (($# > 0)) && [[ $1 != -- ]]; do
    case $1 in
    --runs) runs=$2 ;;
    --data) options+=(--data "$2") ;;
    --list | --help | -h) exit "$status" ;;
    esac
    shift
done
if [[ -d $runs/$name && $status != 130 ]]; then
    "$here/python.sh" -m report.build --runs "$runs/$name" --out "outputs/$name" "${options[@]}" || status=1
fi
exit "$status"
