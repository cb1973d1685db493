#!/usr/bin/env bash
# Label a folder of digits with the shipped weights: scripts/classify_digits.sh IMAGE_DIR [TARGET] OUT.csv
# Without TARGET, the domain is the one that a component of IMAGE_DIR names. ADAPTED_FROM=DOMAIN in the environment
# chooses what the weights were adapted from (weights/DOMAIN-TARGET.safetensors), mnistm unless that is the target.
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
domains=(mnistm svhn usps)

if (($# < 2 || $# > 3)); then
    echo "usage: $0 IMAGE_DIR [TARGET] OUT.csv (TARGET: ${domains[*]})" >&2
    exit 2
fi
images=$1
out=${*: -1}
if (($# == 3)); then
    target=$2
    if [[ " ${domains[*]} " != *" $target "* ]]; then
        echo "error: unknown target $target: give one of ${domains[*]}" >&2
        exit 1
    fi
else
    named=()
    for domain in "${domains[@]}"; do
        [[ /$images/ == */$domain/* ]] && named+=("$domain")
    done
    if ((${#named[@]} != 1)); then
        echo "error: $images names ${#named[@]} of the domains ${domains[*]}: give it, $0 IMAGE_DIR TARGET OUT.csv" >&2
        exit 1
    fi
    target=${named[0]}
fi
source=mnistm
[[ $target == mnistm ]] && source=svhn
weights=$here/../weights/${ADAPTED_FROM:-$source}-$target.safetensors
exec "$here/python.sh" -m inference.classify_digits --weights "$weights" --images "$images" --csv "$out"
