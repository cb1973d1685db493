#!/usr/bin/env bash
# A local page to play with the networks: scripts/demo.sh [--weights RUN_OR_WEIGHTS ...] [--port 7860]
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bash "$here/install.sh" requirements-demo.txt
exec "$here/python.sh" -m inference.demo "$@"
