"""What one `log` of twenty metrics costs the thread that trains, with the official client: nanoseconds each, as JSON.

usage: log_cost.py FOLDER CALLS PAUSE_SECONDS
"""

import json
import os
import sys
import time

import wandb


def main():
    folder, calls, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    os.environ["WANDB_SILENT"] = "true"
    run = wandb.init(mode="offline", dir=folder, project="bench")
    times = []
    for step in range(calls):
        row = {f"train/metric_{metric}": step * 0.5 + metric for metric in range(20)}
        begun = time.perf_counter_ns()
        run.log(row)
        times.append(time.perf_counter_ns() - begun)
        time.sleep(pause)
    run.finish()
    json.dump(times, sys.stdout)


if __name__ == "__main__":
    main()
