"""The arithmetic of runs and nothing else: bare.py [--processes N] [--threads N] [--runs N] [--steps N] [--evaluations N]

Each process trains so many steps and evaluates so many batches, run after run, on batches that are there already: no data, no
metrics, no files, and the import does not count. PyTorch's own kernels in their fastest form on a CPU: channels innermost, fused
AdamW. What no engine that calls these kernels can be faster than. Prints `{"seconds": S}`: from the first begin to the last end.
"""

import argparse
import json
import time
from multiprocessing import get_context

import torch

from networks import focal_loss, unet
from step import ALPHA, GAMMA, LEARNING_RATE, POSITIVE, SHAPES


def work(threads, runs, steps, evaluations, ready, told):
    torch.set_num_threads(threads)
    torch.manual_seed(42)
    n, bands, height, width = SHAPES["unet-resnet18"]
    x = torch.rand(n, bands, height, width).to(memory_format=torch.channels_last)
    labels = (torch.rand(n, height, width) < POSITIVE).to(torch.uint8)
    model = unet("Unet", "resnet18", bands).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    ready.wait()
    begun = time.monotonic()
    for _ in range(runs):
        model.train()
        for _ in range(steps):
            loss = focal_loss(model(x).squeeze(1), labels, ALPHA, GAMMA)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for _ in range(evaluations):
                model(x)
    told.put((begun, time.monotonic()))


def main():
    parser = argparse.ArgumentParser(description="times the arithmetic of runs alone")
    for name in ("processes", "threads", "runs", "steps", "evaluations"):
        parser.add_argument(f"--{name}", type=int, default=1)
    options = parser.parse_args()
    context = get_context("spawn")
    ready, told = context.Barrier(options.processes), context.SimpleQueue()
    words = (options.threads, options.runs, options.steps, options.evaluations, ready, told)
    processes = [context.Process(target=work, args=words) for _ in range(options.processes)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"a process ended with {process.exitcode}")
    begun, ended = zip(*(told.get() for _ in processes))
    print(json.dumps({"seconds": max(ended) - min(begun)}))


if __name__ == "__main__":
    main()
