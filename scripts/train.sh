#!/usr/bin/env bash
# Run a training script in one or several processes: scripts/train.sh train_dcgan.py RECIPE [options]
# With GPUS=N on N GPUs at once, with PROCESSES=N in N processes on the CPU.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
script=$here/../$1
shift
processes=${GPUS:-${PROCESSES:-1}}
if ((processes > 1)); then
    exec "$here/python.sh" -m torch.distributed.run --standalone --nproc-per-node "$processes" "$script" "$@"
fi
exec "$here/python.sh" "$script" "$@"
