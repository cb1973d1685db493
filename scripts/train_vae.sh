#!/usr/bin/env bash
# Train a variational autoencoder of faces: scripts/train_vae.sh vae [options]; GPUS=N or PROCESSES=N share the work.
exec "$(dirname -- "${BASH_SOURCE[0]}")/train.sh" train_vae.py "$@"
