#!/usr/bin/env bash
# Run a training script in one or several processes (scripts/processes.sh): scripts/train.sh train_dcgan.py RECIPE …
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
script=$here/../$1
shift
exec "$here/processes.sh" "$script" "$@"
