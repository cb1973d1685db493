#!/usr/bin/env bash
# Train and score the runs that standard input names, JOBS of them (by default 1) at a time: scripts/finish_all.sh
# A line is a run: the words for scripts/finish_dann.sh, quoted as by `printf '%q '`. One that is there twice is made once.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
awk '!seen[$0]++' | xargs -d '\n' -n 1 -P "${JOBS:-1}" bash -c 'eval "exec \"\$0\" $1"' "$here/finish_dann.sh"
