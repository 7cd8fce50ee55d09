"""What a trial of Optuna's random search costs with a storage that outlives the process.

optuna_trials.py --storage journal|sqlite --folder FOLDER [--trials N]

Each trial is asked for, with five parameters, and told a value. Prints `{"ms_per_trial": ...}`.
"""

import argparse
import json
import time
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

# The space of the engine's bench.
SPACE = {
    "learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "weight_decay": FloatDistribution(0.0, 0.1),
    "batch_size": IntDistribution(1, 64),
    "model_arch": CategoricalDistribution(["Unet", "Linknet", "FPN"]),
    "augment": CategoricalDistribution(["none", "flips", "all"]),
}


def main():
    parser = argparse.ArgumentParser(description="times Optuna's trials")
    parser.add_argument("--storage", choices=["journal", "sqlite"], required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=100)
    options = parser.parse_args()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options.folder.mkdir(parents=True)
    if options.storage == "journal":
        storage = JournalStorage(JournalFileBackend(str(options.folder / "journal.log")))
    else:
        storage = RDBStorage(f"sqlite:///{options.folder / 'study.db'}")
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=42))
    begun = time.perf_counter()
    for _ in range(options.trials):
        study.tell(study.ask(SPACE), 0.5)
    took = time.perf_counter() - begun
    print(json.dumps({"id": f"trials/optuna/{options.storage}", "ms_per_trial": took * 1e3 / options.trials}))


if __name__ == "__main__":
    main()
