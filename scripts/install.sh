#!/usr/bin/env bash
# Make the repository's .venv and install a requirements file into it: scripts/install.sh [requirements-dev.txt]
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$root/${1:-requirements.txt}
done_mark=$root/.venv/installed-$(basename -- "$requirements")
unfinished=$root/.venv/unfinished # there while pip works, and once it has failed

if [[ -f $done_mark && ! -e $unfinished ]] && cmp -s -- <(cat -- "$root"/requirements*.txt) "$done_mark"; then
    exit 0 # nothing changed since the last time
fi
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: $("$python" --version) is too old: install Python 3.11 or later, or name one with PYTHON=…" >&2
    exit 1
fi

install() {
    local python_there=$root/.venv/bin/python
    { "$python_there" -m pip --version &>/dev/null || "$python" -m venv "$root/.venv"; } &&
        "$python_there" -m pip install --quiet --disable-pip-version-check -r "$requirements"
}

mkdir -p -- "$root/.venv"
touch -- "$unfinished"
echo "Installing $(basename -- "$requirements") into .venv (about 5 GB, some minutes the first time) …"
if ! install; then
    echo "error: $(basename -- "$requirements") was not installed, for the reason above: with a network, or a mirror" \
        "named by PIP_INDEX_URL, run bash $root/scripts/install.sh $(basename -- "$requirements") again" >&2
    exit 1
fi
cat -- "$root"/requirements*.txt >"$done_mark"
rm -- "$unfinished"
