"""The training data folder as a PyTorch data set: metadata with pandas, arrays with zarr."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import zarr
from torch.utils.data import Dataset

import job

# Seed of every split, as the engine's.
SPLIT_SEED = 42


class Samples(Dataset):
    """Rows of a folder, each read when it is asked for."""

    def __init__(self, folder, rows, augment=None):
        self.path, self.rows, self.augment = Path(folder) / "data.zarr", rows, augment
        self.group = None

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, at):
        if self.group is None:
            # Opened by whoever reads: a worker that was forked shares no store with its parent.
            group = zarr.open_group(self.path, mode="r")
            self.x, self.y, self.group = group["x"], group["y"], group
        x, y = self.x[self.rows[at]], self.y[self.rows[at]]
        if self.augment is not None:
            # albumentations wants channels last.
            changed = self.augment(image=x.transpose(1, 2, 0), mask=y)
            x, y = np.ascontiguousarray(changed["image"].transpose(2, 0, 1)), np.ascontiguousarray(changed["mask"])
        return torch.from_numpy(x), torch.from_numpy(y)


def metadata(settings):
    return pd.read_parquet(Path(settings.train_data_dir) / "metadata.parquet", columns=["sample_id", "region", "empty"])


def rows(settings):
    """The rows that the engine draws with `subsample`: pandas' sample with seed 42."""
    table = metadata(settings)
    if getattr(settings, "subsample", None):
        table = table.sample(settings.subsample, random_state=SPLIT_SEED)
    return table.index.tolist()


def divide(settings, fold):
    """Rows to train and to validate on; `val_regions`, where it is set, says the second."""
    regions = getattr(settings, "val_regions", None)
    if regions:
        is_val = metadata(settings)["region"].isin(regions)
        return is_val.index[~is_val].tolist(), is_val.index[is_val].tolist()
    if settings.fold_method != "kfold":
        raise SystemExit(f"the Python side makes folds with kfold alone, not {settings.fold_method}")
    return job.kfold(rows(settings), settings.total_folds, fold)
