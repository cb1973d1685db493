#!/usr/bin/env bash
# The table of all adaptations: scripts/sweep_dann.sh [options of train_dann.py for every run].
# A finished run is not run again, a stopped one goes on. Set in the environment, each with its default:
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
: "${RUNS:=$root/runs/sweep-dann}"                                       # where runs and, under table/, the table go
: "${DATA:=$root/datasets/real}"                                         # the data tree
: "${DOMAINS:=mnistm svhn usps}"                                         # all ordered pairs of these
: "${SEEDS:=1 2 3}"                                                      # a run of each system for every seed
: "${PICTURES:=plain moderate}"                                          # plain, weak, moderate, strong: --augment
: "${RECIPES:=dann dsn}"                                                 # the adaptations to compare; adamatch has its
                                                                         # strong views with PICTURES=strong
: "${BOUNDS:=}"                                                           # options of the supervised runs alone
: "${NETWORK:=dann32}"                                                   # their network
: "${ENSEMBLE:=usps svhn}"                                               # the scenario of the ensemble, or empty
: "${ENSEMBLE_NETWORKS:=dann28 dann28-kernel5 dann28-strided dann28-wide}" # the networks that vote in it
python=$root/scripts/python.sh
finish=$root/scripts/finish_dann.sh
export RUNS DATA
read -ra bounds <<<"$BOUNDS"

for seed in $SEEDS; do
    for pictures in $PICTURES; do
        options=(--seed "$seed" --augment "${pictures/plain/off}" "$@")
        for source in $DOMAINS; do
            "$finish" "supervised-$NETWORK-$source-$pictures-seed$seed" supervised \
                --network "$NETWORK" --source "$source" "${options[@]}" "${bounds[@]}"
            for target in $DOMAINS; do
                [[ $source == "$target" ]] && continue
                for recipe in $RECIPES; do
                    "$finish" "$recipe-$NETWORK-$source-$target-$pictures-seed$seed" "$recipe" \
                        --network "$NETWORK" --source "$source" --target "$target" "${options[@]}"
                done
            done
        done

        [[ -n $ENSEMBLE ]] || continue
        read -r source target <<<"$ENSEMBLE"
        voters=()
        for network in $ENSEMBLE_NETWORKS; do
            name=dann-$network-$source-$target-$pictures-seed$seed
            voters+=("$RUNS/$name")
            "$finish" "$name" dann --network "$network" --source "$source" --target "$target" "${options[@]}"
        done
        together=$RUNS/ensemble-$source-$target-$pictures-seed$seed/scores.json
        [[ -f $together ]] || "$python" -m report.dann_scores "${voters[@]}" --out "$together"
    done
done
"$python" -m report.dann_table "$RUNS" --out "$RUNS/table"
