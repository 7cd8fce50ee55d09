"""Logistic regression by gradient descent, with nothing but Python's standard library.

Any script can be tuned that does what this one does:
- it takes its hyperparameters as arguments, `--learning_rate 0.5`
- it prints its metrics as JSON lines: {"metrics": {"val/loss": 0.3}, "epoch": 2, "step": 30}
- it tells of its checkpoints: {"checkpoint": "/path", "epoch": 2, "step": 30}, and goes on from one that it is given
- it ends when it is told to (SIGTERM), after a last checkpoint
"""

import argparse
import json
import math
import os
import random
import signal

FEATURES = 4
SAMPLES = 240


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", type=float, default=0.1)
    parser.add_argument("--l2", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folds", type=int, default=2)
    # The engine says in the environment what each run is; by hand the script is a run like any other.
    parser.add_argument("--fold", type=int, default=int(os.environ.get("ENGINE_RUN_FOLD", 0)))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("ENGINE_RUN_SEED", 42)))
    parser.add_argument("--out", default=os.environ.get("ENGINE_RUN_DIR", "."))
    parser.add_argument("--resume", default=os.environ.get("ENGINE_RUN_CHECKPOINT"))
    return parser.parse_args()


def data():
    """Points of two classes that overlap, the same for every run."""
    rng = random.Random(0)
    truth = [rng.gauss(0, 2) for _ in range(FEATURES)]
    points = []
    for _ in range(SAMPLES):
        x = [rng.gauss(0, 1) for _ in range(FEATURES)]
        chance = sigmoid(sum(w * v for w, v in zip(truth, x)))
        points.append((x, 1 if rng.random() < chance else 0))
    return points


def sigmoid(z):
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, z))))


def predict(model, x):
    return sigmoid(model["bias"] + sum(w * v for w, v in zip(model["weights"], x)))


def evaluate(model, points):
    loss = hits = 0.0
    for x, y in points:
        p = min(max(predict(model, x), 1e-12), 1 - 1e-12)
        loss -= math.log(p if y else 1 - p)
        hits += (p > 0.5) == (y == 1)
    return loss / len(points), hits / len(points)


def train_epoch(model, points, learning_rate, l2, rng):
    order = points[:]
    rng.shuffle(order)
    for start in range(0, len(order), 8):
        batch = order[start : start + 8]
        errors = [(predict(model, x) - y, x) for x, y in batch]
        for i in range(FEATURES):
            gradient = sum(e * x[i] for e, x in errors) / len(batch) + l2 * model["weights"][i]
            model["weights"][i] -= learning_rate * gradient
        model["bias"] -= learning_rate * sum(e for e, _ in errors) / len(batch)
        model["step"] += 1


def save(model, path):
    """Whole or not at all: whoever is killed here leaves the checkpoint before."""
    with open(path + ".part", "w") as file:
        json.dump(model, file)
    os.replace(path + ".part", path)


def tell(**words):
    print(json.dumps(words), flush=True)


def main():
    args = arguments()
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    points = data()
    val = points[args.fold :: args.folds]
    train = [point for at, point in enumerate(points) if at % args.folds != args.fold]
    start = random.Random(args.seed)
    model = {"weights": [start.gauss(0, 0.1) for _ in range(FEATURES)], "bias": 0.0, "epoch": 0, "step": 0}
    if args.resume:
        with open(args.resume) as file:
            model = json.load(file)
    while model["epoch"] < args.epochs and not stop:
        epoch = model["epoch"]
        # The order of an epoch follows from seed and epoch alone, so that a run that goes on comes to the same.
        train_epoch(model, train, args.learning_rate, args.l2, random.Random(f"{args.seed}/{epoch}"))
        train_loss, _ = evaluate(model, train)
        val_loss, accuracy = evaluate(model, val)
        tell(
            metrics={"train/loss": train_loss, "val/loss": val_loss, "val/accuracy": accuracy},
            epoch=epoch,
            step=model["step"],
        )
        model["epoch"] += 1
        # Each under its own name: one that is written over could be ahead of what was told of it.
        checkpoint = os.path.join(args.out, f"checkpoint-{epoch}.json")
        save(model, checkpoint)
        tell(checkpoint=checkpoint, epoch=epoch, step=model["step"], monitored=accuracy)
        tell(progress={"epoch": epoch, "max_epochs": args.epochs})


if __name__ == "__main__":
    main()
