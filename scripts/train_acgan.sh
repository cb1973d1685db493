#!/usr/bin/env bash
# Train an ACGAN of digits: scripts/train_acgan.sh RECIPE [options]; GPUS=N or PROCESSES=N share the work.
exec "$(dirname -- "${BASH_SOURCE[0]}")/train.sh" train_acgan.py "$@"
