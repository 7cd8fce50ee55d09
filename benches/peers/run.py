"""A whole training run with Lightning: run.py JOB.toml FOLDER [--threads N] [--workers N] [--channels-last]

Trains as `engine train --config-file JOB.toml` does, into FOLDER. Prints as JSON what was logged last, and how many
samples trained and validated.
"""

import argparse
import json
import warnings

import job


def main():
    parser = argparse.ArgumentParser(description="trains one run with Lightning")
    parser.add_argument("job")
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()

    import torch

    from training import fit

    # Lightning's advice to take more workers than there are cores to spare.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    torch.set_num_threads(options.threads)
    settings = job.read(options.job)
    settings.channels_last = options.channels_last
    hyperparameters = job.hyperparameters(settings)
    logged, samples = fit(settings, hyperparameters, settings.fold, options.folder, options.workers)
    print(json.dumps({"logged": logged, "samples": [samples], "val_losses": [logged["val/loss"]]}))


if __name__ == "__main__":
    main()
