#!/usr/bin/env bash
# The repository's Python with the repository's packages, from any directory: scripts/python.sh -m data.prepare --help
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
[[ -x $python ]] || python=python3
if [[ $python == python3 || -e $root/.venv/unfinished ]]; then
    if ! "$python" -c 'import re, sys
from importlib.metadata import distribution
for name in re.findall(r"^[\w-]+", open(sys.argv[1]).read(), re.M): distribution(name)' \
        "$root/requirements.txt" 2>/dev/null; then
        echo "error: the packages are not installed: run bash $root/scripts/install.sh" >&2
        exit 1
    fi
fi
# -P: the caller's folder, which relative paths refer to, must not shadow our packages.
PYTHONPATH=$root exec "$python" -P "$@"
