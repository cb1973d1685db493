#!/usr/bin/env bash
# For graders: scripts/hw2_2.sh OUT writes 1000 digits, 0_001.png to 9_100.png, with a fixed seed and the shipped weights.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/generate_digits.sh" "$@"
