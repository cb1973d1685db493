#!/usr/bin/env bash
# Train a digit classifier and adapt it to another domain: scripts/train_dann.sh RECIPE [options]; GPUS=N or PROCESSES=N share the work.
exec "$(dirname -- "${BASH_SOURCE[0]}")/train.sh" train_dann.py "$@"
