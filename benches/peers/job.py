"""The job that both sides read: one TOML file, written by compare.py, which the engine takes as its --config-file."""

import tomllib
from pathlib import Path
from types import SimpleNamespace

HYPERPARAMETERS = (
    "model_arch",
    "model_encoder",
    "batch_size",
    "learning_rate",
    "gamma",
    "loss",
    "focal_loss_alpha",
    "focal_loss_gamma",
)


def read(path):
    """The options of a config file, whatever tables they stand in; `train-data-dir` is read as `train_data_dir`."""
    with open(path, "rb") as file:
        document = tomllib.load(file)
    options = {}

    def collect(table):
        for name, value in table.items():
            if isinstance(value, dict):
                collect(value)
            else:
                options[name.replace("-", "_")] = value

    collect(document["engine"])
    return SimpleNamespace(**options)


def hyperparameters(settings, chosen=()):
    """The hyperparameters of a job, or a configuration's in their place."""
    given = {name: getattr(settings, name) for name in HYPERPARAMETERS if hasattr(settings, name)}
    return {**given, **dict(chosen)}


def configurations(path):
    """Every combination of a search space of constants and lists."""
    with open(path, "rb") as file:
        space = tomllib.load(file)["hyperparameters"]
    combinations = [{}]
    for name, values in space.items():
        values = values if isinstance(values, list) else [values]
        combinations = [{**chosen, name: value} for chosen in combinations for value in values]
    return combinations


def kfold(rows, total_folds, fold):
    """scikit-learn's `KFold(total_folds)` without shuffling, spelled out so that nobody pays for the import."""
    lengths = [len(rows) // total_folds + (at < len(rows) % total_folds) for at in range(total_folds)]
    begin = sum(lengths[:fold])
    end = begin + lengths[fold]
    return rows[:begin] + rows[end:], rows[begin:end]


def bands(folder):
    """Names of the channels."""
    with open(Path(folder) / "config.toml", "rb") as file:
        return tomllib.load(file)["darts"]["bands"]
