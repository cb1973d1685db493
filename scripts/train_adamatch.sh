#!/usr/bin/env bash
# Adapt a digit classifier by self-training: scripts/train_adamatch.sh RECIPE [options]; GPUS=N or PROCESSES=N share the work.
exec "$(dirname -- "${BASH_SOURCE[0]}")/train.sh" train_adamatch.py "$@"
