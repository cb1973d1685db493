#!/usr/bin/env bash
# Train a class-conditional diffusion model of digits: scripts/train_ddpm.sh RECIPE [options]. With GPUS=N, on N GPUs (PROCESSES=N on CPUs) at once.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
processes=${GPUS:-${PROCESSES:-1}}
if ((processes > 1)); then
    exec "$here/python.sh" -m torch.distributed.run --standalone --nproc-per-node "$processes" "$here/../train_ddpm.py" "$@"
fi
exec "$here/python.sh" "$here/../train_ddpm.py" "$@"
