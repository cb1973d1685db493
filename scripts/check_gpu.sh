#!/usr/bin/env bash
# Check the GPU and time every recipe on it, in minutes, on made-up data: scripts/check_gpu.sh [--out DIR]
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/python.sh" -m benchmarks.check_gpu "$@"
