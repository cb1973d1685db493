#!/usr/bin/env bash
# From nothing to scored pictures: installs, writes the embedded data, trains one small recipe of every training script
# for a moment (all recipes with --all), generates and scores. Anything learnt here is a toy; see README.md for the rest.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
recipes=(dcgan)
case ${1:-} in
"") ;;
--all) recipes=(dcgan dcgan-2g dcgan-long dcgan-short pixelshuffle sagan) ;;
*)
    echo "usage: $0 [--all]" >&2
    exit 2
    ;;
esac
bash "$root/scripts/install.sh"
cd -- "$root"
python=.venv/bin/python
data=datasets/embedded
out=outputs/quickstart
rm -rf -- "$out" # made by this script, and only by it

echo "== Data: drawn faces and digits, without a network"
$python -m data.embedded --out "$data"

for recipe in "${recipes[@]}"; do
    echo "== Training $recipe at reduced width"
    $python train_dcgan.py "$recipe" --data "$data" --runs "$out/runs" --width 16 --batch-size 32 --max-steps 300 \
        --log-every 20 --sample-every 100 --checkpoint-every 100
    echo "== Generating and scoring 100 faces of $recipe"
    $python -m inference.generate_faces --weights "$out/runs/$recipe/weights.safetensors" --out "$out/faces-$recipe" \
        --count 100 --sheet "$out/faces-$recipe.png"
    $python -m metrics.faces "$out/faces-$recipe" --reference "$data/face/val" --dims 64 --json "$out/faces-$recipe.json"
done

echo "Done. The pictures:"
for recipe in "${recipes[@]}"; do
    echo "  $recipe   faces $out/faces-$recipe.png, during training $out/runs/$recipe/samples/"
done
