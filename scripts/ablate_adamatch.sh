#!/usr/bin/env bash
# What each part of AdaMatch is worth: scripts/ablate_adamatch.sh [options of train_adamatch.py for every run].
# A finished run is not run again, a stopped one goes on; whole runs of scripts/sweep_dann.sh (RECIPES=adamatch
# PICTURES=rough, the same options) in RUNS are used. Set in the environment, each with its default:
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
: "${RUNS:=$root/runs/sweep-dann}"              # whole runs; those without a part and the table go under ablation/
: "${DATA:=$root/datasets/real}"                # the data tree
: "${SCENARIOS:=mnistm-svhn usps-svhn}"         # SOURCE-TARGET
: "${SEEDS:=1 2 3}"                             # a run of each for every seed
: "${NETWORK:=dann32}"                          # their network
: "${PICTURES:=rough}"                          # the strong views of whole runs
: "${JOBS:=1}"                                  # runs at a time; JOBS=2 OMP_NUM_THREADS=1 on two CPU cores, say
: "${PARTS:=strong-views balanced-classes interpolation alignment relative-threshold pseudo-labels ramp averaged-weights}" # left out in turn
export RUNS DATA JOBS

declare -A without=(
    [strong-views]="--augment weak"
    [balanced-classes]="--no-balanced"
    [interpolation]="--no-interpolation"
    [alignment]="--no-alignment"
    [relative-threshold]="--no-relative-threshold"
    [pseudo-labels]="--pseudo-weight 0"
    [ramp]="--pseudo-ramp 0"
    [averaged-weights]="--ema-decay 0"
)
for part in $PARTS; do
    [[ -n ${without[$part]:-} ]] || { echo "error: no part $part: PARTS are among ${!without[*]}" >&2; exit 1; }
done

# One line for each run: its name, its recipe, its options.
run() {
    printf '%q ' "$@"
    echo
}

runs() {
    local seed scenario part options switch
    for seed in $SEEDS; do
        for scenario in $SCENARIOS; do
            options=(--network "$NETWORK" --source "${scenario%-*}" --target "${scenario#*-}" --seed "$seed")
            options+=(--augment "$PICTURES" "$@")
            run "adamatch-$NETWORK-$scenario-$PICTURES-seed$seed" adamatch "${options[@]}"
            for part in $PARTS; do
                read -ra switch <<<"${without[$part]}"
                run "ablation/no-$part-$NETWORK-$scenario-$PICTURES-seed$seed" adamatch "${options[@]}" "${switch[@]}"
            done
        done
    done
}

runs "$@" | "$root/scripts/finish_all.sh"
"$root/scripts/python.sh" -m report.adamatch_ablation "$RUNS" "$RUNS/ablation" --out "$RUNS/ablation/table"
