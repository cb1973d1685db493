#!/usr/bin/env bash
# For graders: scripts/hw2_1.sh OUT writes 1000 faces, 0000.png to 0999.png, with a fixed seed and the shipped weights.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/generate_faces.sh" "$@"
