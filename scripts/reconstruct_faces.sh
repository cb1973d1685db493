#!/usr/bin/env bash
# Reconstruct faces with the shipped VAE: scripts/reconstruct_faces.sh IMAGE_DIR OUT_DIR [options of inference.reconstruct_faces].
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if (($# < 2)); then
    echo "usage: $0 IMAGE_DIR OUT_DIR [options of inference.reconstruct_faces]" >&2
    exit 2
fi
images=$1 out=$2
shift 2
exec "$here/python.sh" -m inference.reconstruct_faces --weights "$here/../weights/vae.safetensors" \
    --images "$images" --out "$out" "$@"
