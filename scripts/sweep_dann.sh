#!/usr/bin/env bash
# The table of all adaptations: scripts/sweep_dann.sh [options for every run].
# A finished run is not run again, a stopped one goes on. Set in the environment, each with its default:
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
: "${RUNS:=$root/runs/sweep-dann}"                                       # where runs and, under table/, the table go
: "${DATA:=$root/datasets/real}"                                         # the data tree
: "${DOMAINS:=mnistm svhn usps}"                                         # all ordered pairs of these
: "${SEEDS:=1 2 3}"                                                      # a run of each system for every seed
: "${PICTURES:=plain moderate}"                                          # plain, weak, moderate, rough, strong, mixed
: "${RECIPES:=dann dsn}"                                                 # the adaptations to compare; adamatch has its
                                                                         # strong views with PICTURES=rough
: "${BOUNDS:=}"                                                           # options of the supervised runs alone
: "${NETWORK:=dann32}"                                                   # their network
: "${JOBS:=1}"                                                            # runs at a time; on a CPU give each its share
                                                                          # of the cores: JOBS=2 OMP_NUM_THREADS=1, say
: "${ENSEMBLE=usps svhn}"                                                # the scenario of the ensemble, or empty
: "${ENSEMBLE_NETWORKS:=dann28 dann28-kernel5 dann28-strided dann28-wide}" # the networks that vote in it
python=$root/scripts/python.sh
export RUNS DATA JOBS

# One line for each run: its name, its recipe, its options.
run() {
    printf '%q ' "$@"
    echo
}

runs() {
    local bounds seed pictures source target recipe network options
    read -ra bounds <<<"$BOUNDS"
    for seed in $SEEDS; do
        for pictures in $PICTURES; do
            options=(--seed "$seed" --augment "${pictures/plain/off}" "$@")
            for source in $DOMAINS; do
                run "supervised-$NETWORK-$source-$pictures-seed$seed" supervised \
                    --network "$NETWORK" --source "$source" "${options[@]}" "${bounds[@]}"
                for target in $DOMAINS; do
                    [[ $source == "$target" ]] && continue
                    for recipe in $RECIPES; do
                        run "$recipe-$NETWORK-$source-$target-$pictures-seed$seed" "$recipe" \
                            --network "$NETWORK" --source "$source" --target "$target" "${options[@]}"
                    done
                done
            done
            [[ -n $ENSEMBLE ]] || continue
            read -r source target <<<"$ENSEMBLE"
            for network in $ENSEMBLE_NETWORKS; do
                run "dann-$network-$source-$target-$pictures-seed$seed" dann \
                    --network "$network" --source "$source" --target "$target" "${options[@]}"
            done
        done
    done
}

# A run may be of a pair and of the ensemble: it is made once.
runs "$@" | "$root/scripts/finish_all.sh"

# The variants vote.
for pictures in ${ENSEMBLE:+$PICTURES}; do
    for seed in $SEEDS; do
        together=$RUNS/ensemble-${ENSEMBLE/ /-}-$pictures-seed$seed/scores.json
        voters=()
        for network in $ENSEMBLE_NETWORKS; do
            voters+=("$RUNS/dann-$network-${ENSEMBLE/ /-}-$pictures-seed$seed")
        done
        [[ -f $together ]] || "$python" -m metrics.adaptation "${voters[@]}" --out "$together"
    done
done
"$python" -m report.dann_table "$RUNS" --out "$RUNS/table"
