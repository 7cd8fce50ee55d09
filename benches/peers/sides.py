"""The sides that are compared: for each, the command, and which figures it gives."""

import json
import math
import os
import shutil
from pathlib import Path
from statistics import median

import measure
from measure import Failed

HERE = Path(__file__).resolve().parent

# One fold and one epoch more than needed would only make the same ratio slower to measure.
SAMPLES, FOLDS, EPOCHS, BATCH = 160, 5, 2, 8
# The augmentations that both sides have and do alike.
AUGMENTATIONS = "HorizontalFlip,VerticalFlip,RandomBrightnessContrast"
LEARNING_RATES = (1e-3, 3e-4)
CELLS = 2 * len(LEARNING_RATES)

JOB = """\
# Written by compare.py. The engine takes it as its --config-file, and the Python side reads the same names.
[engine.data]
train-data-dir = {data}
subsample = {samples}
fold-method = "kfold"
total-folds = {folds}

[engine.run]
fold = 0
random-seed = 42
n-folds = 2
n-randoms = 1

[engine.training]
max-epochs = {epochs}
check-val-every-n-epoch = 1
early-stopping-patience = 0
save-top-k = 1

[engine.logging]
log-every-n-steps = 10
plot-every-n-val-epochs = 0

[engine.hyperparameters]
model-arch = "Unet"
model-encoder = "resnet18"
batch-size = {batch}
learning-rate = {rate}
gamma = 0.9
loss = "focal"
focal-loss-alpha = 0.9
focal-loss-gamma = 2.0
"""

SPACE = """\
# Written by compare.py for `--n-trials grid` and for tune.py.
[hyperparameters]
model_arch = "Unet"
model_encoder = "resnet18"
batch_size = {batch}
gamma = 0.9
loss = "focal"
focal_loss_alpha = 0.9
focal_loss_gamma = 2.0
learning_rate = {rates}
"""


class Place:
    """Where things are: programs, Python, data, and a folder to work in."""

    def __init__(self, programs, python, data, work, threads):
        self.programs, self.python, self.data = Path(programs), python, Path(data)
        self.work, self.threads = Path(work), threads
        self.job, self.space = self.work / "job.toml", self.work / "space.toml"

    def write(self):
        """Writes the job that both sides are given."""
        self.work.mkdir(parents=True, exist_ok=True)
        job = JOB.format(
            data=json.dumps(str(self.data)), samples=SAMPLES, folds=FOLDS, epochs=EPOCHS, batch=BATCH, rate=LEARNING_RATES[0]
        )
        self.job.write_text(job)
        self.space.write_text(SPACE.format(batch=BATCH, rates=list(LEARNING_RATES)))

    def program(self, name):
        """A program of the release build."""
        path = self.programs / name
        if not path.is_file():
            raise Failed(f"{path} is not there: `make bench-peers` builds it")
        return str(path)

    def bench(self, name):
        """The newest build of a bench."""
        built = [path for path in (self.programs / "deps").glob(f"{name}-*") if not path.suffix and os.access(path, os.X_OK)]
        if not built:
            raise Failed(f"bench {name} is not in {self.programs / 'deps'}: `make bench-peers` builds it")
        return str(max(built, key=lambda path: path.stat().st_mtime))

    def script(self, name, *words):
        """A script of this folder with the peers' Python."""
        return [self.python, str(HERE / name), *map(str, words)]

    def fresh(self, name):
        """A folder that is not there."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder


def last_line(text):
    """The JSON object that a side prints last."""
    lines = text.strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError) as error:
        raise Failed(f"no line of JSON, but {text[-200:]!r}") from error


def numbers(values):
    """Figures of which there is at least one, all finite and above 0."""
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        raise Failed(f"not figures: {values}")
    return values


# Steps


def steps_of(command):
    line = last_line(measure.run(command).stdout)
    return {"ms": median(numbers(line["step_ms"]))}


def engine_steps(model, threads):
    """A step of the engine, in the layout that it chooses."""
    words = ["--model", model, "--threads", str(threads), "--warmup", "3", "--steps", "12"]
    return lambda place: steps_of([place.program("bench-step"), *words])


def torch_steps(model, threads, layout):
    """A step of PyTorch."""
    words = ["--model", model, "--threads", threads, "--layout", layout, "--warmup", 3, "--steps", 12]
    return lambda place: steps_of(place.script("step.py", *words))


# Whole runs and tunes


def whole(taken, work_done):
    return {"seconds": taken.wall_secs, "cpu_seconds": taken.cpu_secs, "peak_bytes": taken.peak_bytes, **work_done}


def events(text, name):
    """The events of a kind in what `--json` printed."""
    return [event for event in map(json.loads, text.splitlines()) if event.get("event") == name]


def work_of_engine(text, runs, artifacts):
    """What the engine did; fails if a run did not come to its end, or left no checkpoint."""
    prepared, finished = events(text, "run-prepared"), events(text, "run-finished")
    if len(finished) != runs or not all(run["status"] in ("complete", "unstable") for run in finished):
        raise Failed(f"not {runs} whole runs: {[(run['run_name'], run['status']) for run in finished]}")
    if len(list(artifacts.rglob("checkpoints/last/weights.safetensors"))) != runs:
        raise Failed(f"not a checkpoint for each of {runs} runs in {artifacts}")
    numbers([run["metrics"]["val/loss"] for run in finished])
    return {"samples": sorted((run["train_samples"], run["val_samples"]) for run in prepared)}


def work_of_lightning(line, runs, folder):
    """The same of the Python side."""
    if len(list(folder.rglob("checkpoints/last.ckpt"))) != runs:
        raise Failed(f"not a checkpoint for each of {runs} runs in {folder}")
    numbers(line["val_losses"])
    return {"samples": sorted(map(tuple, line["samples"]))}


def engine_run(place):
    """`engine train` on all cores that are measured on."""
    folder = place.fresh("engine-run")
    words = ["train", "--json", "--name", "run", "--accelerator", "cpu", "--backend", "tch"]
    paths = ["--config-file", str(place.job), "--artifact-dir", str(folder)]
    taken = measure.run([place.program("engine"), *words, *paths])
    return whole(taken, work_of_engine(taken.stdout, 1, folder))


def lightning_run(*words):
    """The same run with Lightning."""

    def side(place):
        folder = place.fresh("lightning-run")
        taken = measure.run(place.script("run.py", place.job, folder, "--threads", place.threads, *words))
        return whole(taken, work_of_lightning(last_line(taken.stdout), 1, folder))

    return side


def engine_tune(place):
    """`engine tune` of two configurations on two folds, two runs side by side."""
    folder = place.fresh("engine-tune")
    words = ["tune", "--json", "--name", "tune", "--accelerator", "cpu", "--backend", "tch", "--n-trials", "grid"]
    places = ["--strategy", "cv-parallel", "--devices", *map(str, range(place.threads))]
    paths = ["--config-file", str(place.job), "--hpconfig", str(place.space), "--artifact-dir", str(folder)]
    # 6: no configuration is stable, which two epochs may well come to.
    taken = measure.run([place.program("engine"), *words, *places, *paths], accepted=(0, 6))
    return whole(taken, work_of_engine(taken.stdout, CELLS, folder))


def lightning_tune(place):
    """The same tune with Lightning in as many processes of one thread."""
    folder = place.fresh("lightning-tune")
    taken = measure.run(place.script("tune.py", place.job, place.space, folder, "--processes", place.threads))
    return whole(taken, work_of_lightning(last_line(taken.stdout), CELLS, folder))


def bare(processes, threads, runs):
    """The arithmetic of so many runs by each of so many processes: what is left of a run if all else cost nothing."""
    steps = EPOCHS * ((SAMPLES - SAMPLES // FOLDS) // BATCH)
    evaluations = EPOCHS * (SAMPLES // FOLDS // BATCH)
    words = ["--processes", processes, "--threads", threads, "--runs", runs, "--steps", steps, "--evaluations", evaluations]

    def side(place):
        line = last_line(measure.run(place.script("bare.py", *words)).stdout)
        return {"seconds": numbers([line["seconds"]])[0]}

    return side


# Data


def loading_of(command):
    line = last_line(measure.run(command).stdout)
    return {"samples_per_second": median(numbers(line["samples_per_second"]))}


def engine_loading(place):
    """The engine's data path."""
    words = ["--data", place.data, "--augment", AUGMENTATIONS, "--workers", place.threads, "--batch", 8, "--epochs", 3]
    return loading_of([place.program("bench-loading"), *map(str, words)])


def torch_loading(place):
    """A DataLoader with zarr and albumentations."""
    words = ["--data", place.data, "--augment", AUGMENTATIONS, "--workers", place.threads, "--batch", 8, "--epochs", 3]
    return loading_of(place.script("loader.py", *words))


# Search


def engine_trials(place):
    """A trial of the engine's random search with its journal, from the bench of that name."""
    taken = measure.run([place.bench("messages"), "search/durable-trial"], accepted=(0, 1))
    for line in taken.stdout.splitlines():
        words = line.split()
        if words[:2] == ["search/durable-trial", "ms_per_trial"]:
            return {"ms": numbers([float(words[2])])[0]}
    raise Failed("bench messages has no search/durable-trial")


def trials_of(script, *words):
    """A trial of another's random search."""

    def side(place):
        line = last_line(measure.run(place.script(script, *words, "--folder", place.fresh("trials"))).stdout)
        return {"ms": numbers([line["ms_per_trial"]])[0]}

    return side
