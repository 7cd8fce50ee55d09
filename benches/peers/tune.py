"""A whole tune with Lightning: tune.py JOB.toml SPACE.toml FOLDER [--processes N] [--workers N] [--channels-last]

Every configuration of the space on every fold that the job asks for, as `engine tune` does with a grid: the cells in a
pool of worker processes of one thread each, then a table of all runs and the configuration with the best mean. The
parent imports neither torch nor Lightning; each worker imports them once and trains cell after cell.
"""

import argparse
import csv
import json
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import job

SCORED = "val/JaccardIndex"


def begin(threads):
    """What a worker process does first."""
    import torch

    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    torch.set_num_threads(threads)


def cell(settings, hyperparameters, fold, folder, workers):
    """Trains one cell: what was logged last, and how many samples trained and validated."""
    from training import fit

    return fit(settings, hyperparameters, fold, folder, workers)


def main():
    parser = argparse.ArgumentParser(description="tunes with Lightning in worker processes")
    parser.add_argument("job")
    parser.add_argument("space")
    parser.add_argument("folder")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()

    settings = job.read(options.job)
    settings.channels_last = options.channels_last
    folder = Path(options.folder)
    folder.mkdir(parents=True)
    configurations = [job.hyperparameters(settings, chosen) for chosen in job.configurations(options.space)]
    pool = ProcessPoolExecutor(options.processes, mp_context=get_context("spawn"), initializer=begin, initargs=(1,))
    with pool:
        cells = []
        for number, hyperparameters in enumerate(configurations):
            for fold in range(settings.n_folds):
                place = folder / f"cv{number}-run-f{fold}"
                run = pool.submit(cell, settings, hyperparameters, fold, place, options.workers)
                cells.append((number, fold, run))
        ended = [(number, fold, *run.result()) for number, fold, run in cells]
    table = [{"cv": number, "fold": fold, **logged} for number, fold, logged, _ in ended]
    names = sorted({name for row in table for name in row})
    with open(folder / "tune.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(table)
    scores = [mean(row[SCORED] for row in table if row["cv"] == number) for number in range(len(configurations))]
    best = max(range(len(scores)), key=scores.__getitem__)
    of_cells = {"samples": [samples for *_, samples in ended], "val_losses": [row["val/loss"] for row in table]}
    print(json.dumps({"best": configurations[best], "scores": scores, **of_cells}))


if __name__ == "__main__":
    main()
