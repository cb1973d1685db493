#!/usr/bin/env bash
# Train a face GAN: scripts/train_dcgan.sh RECIPE [options]; GPUS=N or PROCESSES=N share the work.
exec "$(dirname -- "${BASH_SOURCE[0]}")/train.sh" train_dcgan.py "$@"
