#!/usr/bin/env bash
# Run a script or module of ours in one or several processes: scripts/processes.sh -m metrics.faces OUT --reference DIR
# With GPUS=N on N GPUs at once, with PROCESSES=N in N processes on the CPU. On several machines, start it on each with
# NODES=2 NODE_RANK=0 (then 1) MASTER=HOST:PORT, an address of machine 0.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if [[ -n ${GPUS-}${PROCESSES-}${NODES-} ]]; then
    exec "$here/python.sh" -m runtime.launch "$@"
fi
exec "$here/python.sh" "$@"
