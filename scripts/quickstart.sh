#!/usr/bin/env bash
# From nothing to a report in about five minutes on two cores: what the shipped networks make, then small networks that
# learn before your eyes. Stopped and started again, it goes on where it was; everything lies in outputs/quickstart.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
if (($#)); then
    echo "usage: $0" >&2
    exit 2
fi
bash "$root/scripts/install.sh"
cd -- "$root"
python=.venv/bin/python
data=datasets/embedded
out=outputs/quickstart
judge=$out/runs/on-target/weights.safetensors # reads generated digits

# What is done, in this order: the function's name, its seconds on two cores, and what is said of it.
plan=(
    "data 7 Writing a data tree from what the packages carry: real MNIST-M and UCI digits, drawn faces"
    "faces 6 The shipped diffusion model makes 32 faces that nobody has"
    "digits 5 The shipped diffusion model draws ten of each digit"
    "autoencoder 3 The shipped VAE compresses those faces to 1,024 numbers and restores them"
    "classify 6 The shipped classifiers read digits, before and after adapting to another domain without its labels"
    "source_only 18 A small classifier learns MNIST-M, and is asked about UCI digits: the source-only baseline"
    "adapted 28 The same with DANN adapts to the UCI digits, without any of their labels"
    "on_target 22 The same learns the UCI digits with their labels: the upper bound, and the judge of generated ones"
    "acgan 64 A generator learns to draw UCI digits of a requested class, and the judge classifies 500 of them (ACGAN)"
    "diffusion 70 A diffusion model learns to draw the UCI digits from noise (v-prediction)"
    "guidance 9 Its digits at guidance scales 0, 1, 2 and 4: more of them are classified as requested"
    "gan 30 A generator and a discriminator play against each other over drawn faces (DCGAN)"
    "report 12 All of it becomes one page"
)

train() { # script recipe name [options]: begin the run, or go on with it
    local script=$1 recipe=$2 name=$3 resume=()
    shift 3
    if [[ -e $out/runs/$name/config.json ]]; then
        resume=(--resume)
    fi
    $python "$script" "$recipe" --data "$data" --runs "$out/runs" --name "$name" --epochs 1000 --log-every 25 "$@" \
        "${resume[@]}"
}

data() {
    $python -m data.embedded --out "$data"
}

faces() {
    $python -m inference.generate_faces --weights weights/faces.safetensors --out "$out/faces" --count 32 \
        --precision auto --grid "$out/faces.png"
}

digits() {
    $python -c 'import sys; from inference import Digits; from PIL import Image
Image.fromarray(Digits.load("digits", precision="auto").grid()).save(sys.argv[1])' "$out/digits.png"
}

autoencoder() {
    $python -m inference.reconstruct_faces --weights weights/vae.safetensors --images "$out/faces" \
        --out "$out/reconstructions" --grid "$out/reconstructions.png"
}

classify() { # shipped classifiers, source only and adapted, on digits of the target, or UCI's where those are not here
    $python - "$data" "$out" <<'PYTHON'
import sys
from itertools import permutations
from pathlib import Path

from data.digits import digit_domains, load_digits
from inference import Classifier
from inference.demo_networks import SOURCES
from metrics.confusion import confusion_figure, confusion_matrix, label_scores
from runtime.figures import save_figure
from runtime.files import write_json

data, out = map(Path, sys.argv[1:])
accuracies = {}
for source, target in permutations(SOURCES, 2):
    adapted = f"{source}-{target}"
    domain = target if target in digit_domains(data) else "handwritten"
    images, labels = load_digits(data, domain, "test")
    name = f"{source} → {target}, on {domain}"
    for when, weights in (("before", source), ("after", adapted)):
        matrix = confusion_matrix(labels, Classifier.load(weights).classify(images))
        accuracy = accuracies.setdefault(name, {})[when] = label_scores(matrix)["accuracy"]
        figure = confusion_figure(matrix, f"{name}: {accuracy:.1%} {when} adaptation")
        save_figure(figure, out / f"confusion-{adapted}-{when}.png")
    print(f"  {name}: {accuracies[name]['before']:.1%} before adaptation, {accuracies[name]['after']:.1%} after")
write_json(out / "adaptation.json", accuracies)
PYTHON
}

classifier=(--augment off --width 16 --max-steps 600 --checkpoint-every 100) # of all three: one network, taught alike
source_only() {
    train train_dann.py supervised-augmented source-only --source mnistm --target handwritten "${classifier[@]}"
    $python -m metrics.adaptation "$out/runs/source-only"
}

adapted() {
    train train_dann.py dann-augmented adapted --source mnistm --target handwritten "${classifier[@]}"
    $python -m metrics.adaptation "$out/runs/adapted"
}

on_target() {
    train train_dann.py supervised-augmented on-target --source handwritten "${classifier[@]}"
    $python -m metrics.adaptation "$out/runs/on-target"
}

acgan() {
    train train_acgan.py acgan28-r1 acgan --domain handwritten --width 14 --batch-size 32 --max-steps 1200 --d-lr 4e-4 \
        --g-lr 4e-4 --uniform-weight 0 --ema-decay 0.99 --sample-every 250 --checkpoint-every 250
    $python -m inference.generate_digits --weights "$out/runs/acgan/weights.safetensors" --per-class 50 --out "$out/acgan"
    $python -m metrics.digits "$out/acgan" --classifier "$judge" --json "$out/runs/acgan/scores.json"
}

diffusion() { # DDPM's noise levels: of pictures this smooth, EDM's lower ones hide too little to learn classes by
    train train_ddpm.py edm diffusion --domain handwritten --prediction v --diffusion-steps 1000 --width 32 --direct \
        --batch-size 32 --max-steps 500 --lr 1.5e-3 --warmup-steps 100 --guidance 2 --sample-steps 8 \
        --sample-every 150 --checkpoint-every 150
}

guidance() {
    $python -m metrics.sampling "$out/runs/diffusion/weights.safetensors" --guidance 0 1 2 4 --steps 8 --per-class 20 \
        --classifier "$judge" --reference "$data/digits/handwritten"
}

gan() {
    train train_dcgan.py dcgan-ema gan --width 16 --batch-size 32 --max-steps 500 --d-lr 1e-3 --g-lr 1e-3 \
        --ema-decay 0.98 --sample-every 100 --checkpoint-every 100
}

report() {
    $python -m report.build --runs "$out/runs" --out "$out/report"
}

summary() { # what was measured, from the files that hold it
    $python - "$out" <<'PYTHON'
import json
import sys
from pathlib import Path


def read(name):
    return json.loads(Path(sys.argv[1], name).read_text())


def test_accuracy(run):
    return read(f"runs/{run}/scores.json")["scores"]["handwritten"]["test"]


before, after = test_accuracy("source-only"), test_accuracy("adapted")
lines = {
    f"shipped: {name}": f"{accuracy['before']:.1%} before adaptation, {accuracy['after']:.1%} after"
    for name, accuracy in read("adaptation.json").items()
}
lines |= {
    "source only: trained on MNIST-M": f"{before:.1%} of the UCI digits",
    "DANN: adapted without labels": f"{after:.1%}  ({100 * (after - before):+.1f} points)",
    "trained on them: upper bound and judge": f"{test_accuracy('on-target'):.1%}",
}
lines["digits of the ACGAN"] = f"{read('runs/acgan/scores.json')['accuracy']:.1%} classified as requested"
for row in read("runs/diffusion/sampling.json")["rows"]:
    name = f"digits of diffusion, guidance {row['guidance']:g}"
    lines[name] = f"{row['accuracy']:.1%} classified as requested"
print("\n".join(f"  {name:<42}{value}" for name, value in lines.items()))
PYTHON
}

said() { # seconds as minutes and seconds
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

stopped() {
    if (($?)); then
        echo "Stopped: bash scripts/quickstart.sh goes on from here." >&2
    fi
}
trap stopped EXIT

mkdir -p -- "$out/done"
planned=0 spent=0 # seconds of what this call has done
for ((number = 0; number < ${#plan[@]}; number++)); do
    read -r name seconds sentence <<<"${plan[number]}"
    if [[ -e $out/done/$name ]]; then
        continue
    fi
    left=0
    for other in "${plan[@]:number}"; do
        read -r _ more _ <<<"$other"
        left=$((left + more))
    done
    if ((planned)); then
        left=$((left * spent / planned)) # at the pace so far
    fi
    echo "== $((number + 1)) of ${#plan[@]}, about $(said "$left") left: $sentence"
    started=$SECONDS
    "$name"
    planned=$((planned + seconds)) spent=$((spent + SECONDS - started))
    echo "$((SECONDS - started)) s" >"$out/done/$name"
done

echo
echo "What was measured:"
summary | tee "$out/summary.txt"
echo
echo "  by the shipped networks                   $out/{faces,digits,reconstructions,confusion-*}.png"
echo "  how drawn faces and digits improve        $out/runs/{gan,acgan,diffusion}/samples"
echo "  everything on one page                    $out/report/report.html"
echo
echo "Small networks on little data: no number here is a result. docs/ has those; to begin anew, remove $out."
