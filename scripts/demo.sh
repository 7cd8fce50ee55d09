#!/usr/bin/env bash
# The main job on made-up data: demo.sh <engine binary> <folder> <backend>
# Makes a small data set, tunes two configurations over two folds on two CPU devices,
# retrains the best on everything and tests it on held-out samples.
set -euo pipefail

engine=$(realpath "$1") folder=$2 backend=$3
mkdir -p "$folder"
cd "$folder"

if [ ! -f data/config.toml ]; then
  "$engine" data synth data --samples 96 --patch-size 64
fi
cat > space.toml <<'TOML'
# The search space of the demo. See docs/configuration.md for all distributions.
[hyperparameters]
model_arch = "Unet"
model_encoder = "resnet18"
batch_size = 4
gamma = 0.95
focal_loss_alpha = 0.8
augment = { distribution = "constant", value = ["HorizontalFlip", "VerticalFlip", "RandomRotate90"] }
learning_rate = { distribution = "loguniform", low = 3e-4, high = 3e-3 }
TOML

# A second demo beside the first one: names are counted by the folders already there.
"$engine" tune \
  --train-data-dir data --data-split-method random --data-split-by 0.2 \
  --fold-method region-stratified --total-folds 2 --n-randoms 1 \
  --hpconfig space.toml --n-trials 2 --max-epochs 9 --check-val-every-n-epoch 3 \
  --strategy cv-parallel --accelerator cpu --devices 0 1 --backend "$backend" \
  --retrain-and-test
echo
echo "Everything the demo wrote is under $folder/artifacts."
