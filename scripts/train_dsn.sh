#!/usr/bin/env bash
# Adapt a digit classifier by domain separation: scripts/train_dsn.sh RECIPE [options]; GPUS=N or PROCESSES=N share the work.
exec "$(dirname -- "${BASH_SOURCE[0]}")/train.sh" train_dsn.py "$@"
