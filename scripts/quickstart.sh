#!/usr/bin/env bash
# From nothing to a report on scored pictures: installs, writes the embedded data, trains one small recipe of every
# training script for a moment (all recipes with --all), generates, scores and reports. Anything learnt here is a toy; see
# README.md for the rest.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
gans=(dcgan-ema)
autoencoders=(vae-pca)
acgans=(acgan28-r1)
diffusions=(context-unet-64)
adaptations=(dann)
case ${1:-} in
"") ;;
--all)
    gans=(dcgan dcgan-ema dcgan-2g dcgan-long dcgan-short pixelshuffle sagan sagan-ema)
    autoencoders=(vae vae-ema vae-pca)
    acgans=(acgan28 acgan28-r1 acgan64 acgan64-r1)
    diffusions=(context-unet context-unet-64 attention-unet attention-unet-24)
    adaptations=(supervised dann dann-augmented dann-mcc dann-acgan dann64 dann28 dann28-no-dropout dann32 dann-cnn
        dann-cnn-wide dann-lenet dsn dsn-report adamatch)
    ;;
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

train() { # script recipe steps [options]
    echo "== Training $2 at reduced width"
    local script=$1 recipe=$2 steps=$3
    shift 3
    $python "$script" "$recipe" --data "$data" --runs "$out/runs" --name "$recipe" --max-steps "$steps" --epochs 1000 \
        --log-every 20 --sample-every 100 --checkpoint-every 100 "$@"
}

echo "== Data: drawn faces and digits, without a network"
$python -m data.embedded --out "$data"

for recipe in "${gans[@]}"; do
    train train_dcgan.py "$recipe" 1500 --width 16 --batch-size 32
    $python -m inference.generate_faces --weights "$out/runs/$recipe/weights.safetensors" --out "$out/faces-$recipe" \
        --count 100 --sheet "$out/$recipe.png"
    $python -m metrics.faces "$out/faces-$recipe" --reference "$data/face/val" --dims 64 \
        --json "$out/runs/$recipe/scores.json"
done

for recipe in "${autoencoders[@]}"; do
    train train_vae.py "$recipe" 600 --width 8 --latent-size 64 --batch-size 32 --lr 1e-3
    $python -m inference.reconstruct_faces --weights "$out/runs/$recipe/weights.safetensors" \
        --images "$data/face/val" --out "$out/faces-$recipe" --sheet "$out/$recipe.png" \
        --json "$out/runs/$recipe/reconstruction.json"
    $python -m metrics.tsne "$out/runs/$recipe"
done

for recipe in "${adaptations[@]}"; do
    case $recipe in
    dsn*) script=train_dsn.py ;;
    adamatch*) script=train_adamatch.py ;;
    *) script=train_dann.py ;;
    esac
    domains=(--source handwritten --target blended)
    [[ $recipe == dann?* ]] || domains+=(--network dann28) # the reports' recipes have networks of their own
    train "$script" "$recipe" 1000 "${domains[@]}" --width 16 --batch-size 64
    $python -m inference.classify_digits --weights "$out/runs/$recipe/weights.safetensors" \
        --images "$data/digits/blended/data" --csv "$out/$recipe.csv"
    $python -m metrics.labels "$out/$recipe.csv" "$data/digits/blended/test.csv" --confusion "$out/$recipe.png"
    $python -m metrics.adaptation "$out/runs/$recipe"
    $python -m metrics.tsne "$out/runs/$recipe"
done

for recipe in "${acgans[@]}"; do
    train train_acgan.py "$recipe" 1500 --domain blended --width 12 --batch-size 32
done
for recipe in "${diffusions[@]}"; do
    train train_ddpm.py "$recipe" 1000 --domain blended --width 16 --batch-size 32 --lr 2e-3
done
for recipe in "${acgans[@]}" "${diffusions[@]}"; do
    $python -m inference.generate_digits --weights "$out/runs/$recipe/weights.safetensors" --out "$out/digits-$recipe" \
        --per-class 10 --grid "$out/$recipe.png"
    $python -m metrics.digits "$out/digits-$recipe" --classifier "$out/runs/${adaptations[-1]}/weights.safetensors" \
        --json "$out/runs/$recipe/scores.json"
done
for recipe in "${diffusions[@]}"; do
    $python -m metrics.sampling "$out/runs/$recipe/weights.safetensors" --guidance 0 1 2 4 --per-class 10 \
        --classifier "$out/runs/${adaptations[-1]}/weights.safetensors" --reference "$data/digits/blended"
done

echo "== Report on all of it"
$python -m report.build --runs "$out/runs" --out "$out/report"

echo "Done: $out/report/report.html shows everything. The pictures, beside the runs in $out/runs:"
for recipe in "${gans[@]}" "${acgans[@]}" "${diffusions[@]}"; do
    echo "  $recipe: made $out/$recipe.png, during training $out/runs/$recipe/samples"
done
for recipe in "${autoencoders[@]}"; do
    echo "  $recipe: faces over their reconstructions $out/$recipe.png, samples $out/runs/$recipe/samples"
done
for recipe in "${adaptations[@]}"; do
    echo "  $recipe: confusion of the digits adapted to, $out/$recipe.png"
done
