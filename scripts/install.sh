#!/usr/bin/env bash
# Make the repository's .venv and install a requirements file into it: scripts/install.sh [requirements-dev.txt]
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$root/${1:-requirements.txt}
done_mark=$root/.venv/installed-$(basename -- "$requirements")

if [[ -f $done_mark ]] && cmp -s -- <(cat -- "$root"/requirements*.txt) "$done_mark"; then
    exit 0 # nothing changed since the last time
fi
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: $("$python" --version) is too old: install Python 3.11 or later, or name one with PYTHON=…" >&2
    exit 1
fi
[[ -x $root/.venv/bin/python ]] || "$python" -m venv "$root/.venv"
echo "Installing $(basename -- "$requirements") into .venv (about 5 GB, some minutes the first time) …"
"$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
cat -- "$root"/requirements*.txt >"$done_mark"
