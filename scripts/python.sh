#!/usr/bin/env bash
# The repository's Python with the repository's packages, from any directory: scripts/python.sh -m data.prepare --help
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
[[ -x $python ]] || python=python3
# -P: the caller's folder, which relative paths refer to, must not shadow our packages.
PYTHONPATH=$root exec "$python" -P "$@"
