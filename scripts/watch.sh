#!/usr/bin/env bash
# Curves and sample grids of runs in TensorBoard, while they train or after: scripts/watch.sh [--runs runs] [--port 6006]
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bash "$here/install.sh" requirements-watch.txt
exec "$here/python.sh" -m training.watch "$@"
