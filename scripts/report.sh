#!/usr/bin/env bash
# One page of whatever was run: scripts/report.sh [--runs runs] [--out outputs/report] [other options of report.build]
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/python.sh" -m report.build "$@"
