#!/usr/bin/env bash
# Train a diffusion model of digits: scripts/train_ddpm.sh RECIPE [options]; GPUS=N or PROCESSES=N share the work.
exec "$(dirname -- "${BASH_SOURCE[0]}")/train.sh" train_ddpm.py "$@"
