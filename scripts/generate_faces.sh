#!/usr/bin/env bash
# Generate 1000 faces with the shipped weights: scripts/generate_faces.sh OUT_DIR [options of inference.generate_faces].
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if (($# == 0)); then
    echo "usage: $0 OUT_DIR [options of inference.generate_faces]" >&2
    exit 2
fi
out=$1
shift
exec "$here/processes.sh" -m inference.generate_faces --weights "$here/../weights/faces.safetensors" --out "$out" "$@"
