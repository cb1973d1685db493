#!/usr/bin/env bash
# For graders: scripts/hw2_3.sh IMAGE_DIR [TARGET] OUT.csv labels digits with the shipped weights.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/classify_digits.sh" "$@"
