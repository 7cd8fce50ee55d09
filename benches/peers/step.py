"""The time of a training step with PyTorch: forward pass, focal loss, gradients, AdamW.

step.py [--model unet-resnet18|small] [--layout default|channels_last] [--threads N] [--warmup N] [--steps N]

Prints one line of JSON as `bench-step` does: `{"id": ..., "threads": N, "step_ms": [...]}`. What is timed begins with the
batch in the host's memory and ends when the weights are changed; the loss is read in each step, as the engine does on a
CPU. No train metrics are counted here, which the engine's step counts.
"""

import argparse
import json
import math
import time

import torch

from networks import SmallUnet, focal_loss, unet

# Samples, bands, height, width.
SHAPES = {"unet-resnet18": (8, 6, 128, 128), "small": (4, 3, 128, 128)}
POSITIVE = 0.3
LEARNING_RATE, ALPHA, GAMMA = 1e-3, 0.9, 2.0


def main():
    parser = argparse.ArgumentParser(description="times training steps with PyTorch")
    parser.add_argument("--model", choices=SHAPES, default="unet-resnet18")
    parser.add_argument("--layout", choices=["default", "channels_last"], default="default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--fused", action="store_true", help="AdamW(fused=True), which is not PyTorch's default on a CPU")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(42)
    n, bands, height, width = SHAPES[options.model]
    layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    model = SmallUnet(bands) if options.model == "small" else unet("Unet", "resnet18", bands)
    model = model.to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=options.fused or None)

    times = []
    for step in range(options.warmup + options.steps):
        image = torch.rand(n, bands, height, width)
        labels = (torch.rand(n, height, width) < POSITIVE).to(torch.uint8)
        begun = time.perf_counter()
        x = image.to(memory_format=layout)
        loss = focal_loss(model(x).squeeze(1), labels, ALPHA, GAMMA)
        if not math.isfinite(loss.item()):
            raise SystemExit(f"the loss of step {step} is not finite")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= options.warmup:
            times.append((time.perf_counter() - begun) * 1e3)
    line = {"id": f"step/{options.model}/{options.layout}", "threads": options.threads, "step_ms": times}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
