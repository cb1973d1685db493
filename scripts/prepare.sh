#!/usr/bin/env bash
# Build the data tree from the official downloads; scripts/prepare.sh --help lists the options.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/python.sh" -m data.prepare "$@"
