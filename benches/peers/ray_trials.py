"""What a trial of Ray Tune's random search costs: ray_trials.py --folder FOLDER [--trials N]

The trials report a value at once; starting Ray is not counted, starting each trial's actor is: Ray Tune has no trial without.
Prints `{"ms_per_trial": ...}`.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray  # noqa: E402: reads its environment when it is imported
from ray import tune  # noqa: E402


def trial(config):
    tune.report({"score": 0.5})


def main():
    parser = argparse.ArgumentParser(description="times Ray Tune's trials")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=20)
    options = parser.parse_args()

    ray.init(num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, log_to_driver=False, logging_level="error")
    space = {
        "learning_rate": tune.loguniform(1e-5, 1e-1),
        "weight_decay": tune.uniform(0.0, 0.1),
        "batch_size": tune.randint(1, 65),
        "model_arch": tune.choice(["Unet", "Linknet", "FPN"]),
        "augment": tune.choice(["none", "flips", "all"]),
    }
    tuner = tune.Tuner(
        trial,
        param_space=space,
        tune_config=tune.TuneConfig(num_samples=options.trials, metric="score", mode="max"),
        run_config=tune.RunConfig(name="trials", storage_path=str(options.folder.resolve()), verbose=0),
    )
    begun = time.perf_counter()
    results = tuner.fit()
    took = time.perf_counter() - begun
    if results.num_errors or len(results) != options.trials:
        raise SystemExit(f"{results.num_errors} of {len(results)} trials failed")
    ray.shutdown()
    print(json.dumps({"id": "trials/ray", "ms_per_trial": took * 1e3 / options.trials}))


if __name__ == "__main__":
    main()
