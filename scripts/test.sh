#!/usr/bin/env bash
# Lint and test, in the repository's own environment: scripts/test.sh [pytest options]
# Or try every fault, and write the table of docs/reliability.md: scripts/test.sh --faults [pytest options]
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/scripts/install.sh" requirements-dev.txt
cd -- "$root"
if [[ ${1-} == --faults ]]; then
    exec .venv/bin/python -m pytest tests/faults "$@"
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/python -m pytest "$@"
