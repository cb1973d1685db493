#!/usr/bin/env bash
# Lint and test, in the repository's own environment: scripts/test.sh [pytest options]
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/scripts/install.sh" requirements-dev.txt
cd -- "$root"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/python -m pytest "$@"
