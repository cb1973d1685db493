#!/usr/bin/env bash
# Distil a diffusion model of digits into a few-step one: scripts/train_distill.sh RECIPE [options]; GPUS=N or PROCESSES=N share the work.
exec "$(dirname -- "${BASH_SOURCE[0]}")/train.sh" train_distill.py "$@"
