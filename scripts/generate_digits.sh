#!/usr/bin/env bash
# Generate 100 of each digit with the shipped weights: scripts/generate_digits.sh OUT_DIR [options of inference.generate_digits].
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if (($# == 0)); then
    echo "usage: $0 OUT_DIR [options of inference.generate_digits]" >&2
    exit 2
fi
out=$1
shift
exec "$here/processes.sh" -m inference.generate_digits --weights "$here/../weights/digits.safetensors" --out "$out" "$@"
