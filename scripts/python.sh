#!/usr/bin/env bash
# The repository's Python with the repository's packages, from any directory: scripts/python.sh -m data.prepare --help
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
if [[ ! -x $python ]]; then
    python=python3
    if ! "$python" -c 'import sys; from importlib.util import find_spec as f; sys.exit(not (f("torch") and f("tyro")))'; then
        echo "error: the packages are not installed: run bash $root/scripts/install.sh" >&2
        exit 1
    fi
fi
# -P: the caller's folder, which relative paths refer to, must not shadow our packages.
PYTHONPATH=$root exec "$python" -P "$@"
