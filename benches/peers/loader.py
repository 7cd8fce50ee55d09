"""Samples a second of a PyTorch DataLoader with zarr and albumentations.

loader.py --data DIR [--augment A,B,C] [--workers N] [--batch N] [--epochs N] [--subsample N]

Prints one line of JSON as `bench-loading` does: `{"samples_per_second": [...]}`, one number an epoch. The workers stay
between the epochs and have begun before the first one that counts.
"""

import argparse
import json
import time
from types import SimpleNamespace

import albumentations
import torch
from torch.utils.data import DataLoader

from samples import Samples, rows


def pipeline(names):
    """The engine's augmentations by their names; both sides apply each with its default probability."""
    made = {
        "HorizontalFlip": lambda: albumentations.HorizontalFlip(p=0.5),
        "VerticalFlip": lambda: albumentations.VerticalFlip(p=0.5),
        "RandomRotate90": lambda: albumentations.RandomRotate90(p=1.0),
        "D4": lambda: albumentations.D4(p=1.0),
        "RandomBrightnessContrast": lambda: albumentations.RandomBrightnessContrast(0.2, 0.2, p=0.5),
    }
    return albumentations.Compose([made[name]() for name in names], seed=42) if names else None


def main():
    parser = argparse.ArgumentParser(description="times a DataLoader")
    parser.add_argument("--data", required=True)
    parser.add_argument("--augment", default="")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--subsample", type=int)
    options = parser.parse_args()

    torch.manual_seed(42)
    settings = SimpleNamespace(train_data_dir=options.data, subsample=options.subsample)
    augment = pipeline([name for name in options.augment.split(",") if name])
    data = Samples(options.data, rows(settings), augment)
    loader = DataLoader(
        data,
        batch_size=options.batch,
        shuffle=True,
        drop_last=True,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
    )
    rates = []
    for epoch in range(1 + options.epochs):
        begun, samples = time.perf_counter(), 0
        for x, _ in loader:
            samples += len(x)
        if epoch > 0:
            rates.append(samples / (time.perf_counter() - begun))
    print(json.dumps({"id": "loading", "workers": options.workers, "samples_per_second": rates}))


if __name__ == "__main__":
    main()
