#!/usr/bin/env bash
# Build the data tree from the official downloads; scripts/prepare.sh --help lists the options.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
[[ -x $python ]] || python=python3
# -P: the caller's folder, which relative paths refer to, must not shadow our packages.
PYTHONPATH=$root exec "$python" -P -m data.prepare "$@"
