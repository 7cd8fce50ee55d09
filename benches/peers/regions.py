"""What is trained beside Python, by region: networks on region folds, and PyTorch the same way on the same folds for one of them.

regions.py [--pairs ARCH/ENCODER ...] [--beside ARCH/ENCODER] [--epochs N] [--seeds N] [--folds N] [--loss SUM]
           [--data FOLDER] [--programs FOLDER] [--python PATH] [--work FOLDER]

Every pair is a `engine cv` over region-stratified folds, two runs at a time on a core each; validated once, after the last
epoch, so that nothing is chosen on what is measured. The pair that is compared is trained over all seeds by both sides, the others
with the first. Prints a table of IoU by region (counts of a region's pixels), the mean over seeds with the lowest and the highest
behind it, and the means over all cells with their spread. A cell that is there is not trained again. The training is Lightning's
of run.py; both sides see the same regions in the same folds, and draw their own weights and orders.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORES = 2
# The engine's exit code where all cells were trained and a score is 0, as early in a training it may be.
UNSTABLE = 6

JOB = """\
[engine.data]
train-data-dir = {data}
fold-method = "region-stratified"
total-folds = {folds}

[engine.run]
random-seed = 42
n-folds = {folds}

[engine.training]
max-epochs = {epochs}
check-val-every-n-epoch = {epochs}
early-stopping-patience = 0
save-top-k = 1

[engine.logging]
log-every-n-steps = 10
plot-every-n-val-epochs = 1

[engine.hyperparameters]
model-arch = {arch}
model-encoder = {encoder}
batch-size = 8
learning-rate = 1e-3
gamma = 0.9
loss = {loss}
focal-loss-alpha = 0.9
focal-loss-gamma = 2.0
"""


def arguments():
    parser = argparse.ArgumentParser(description="IoU by region, beside PyTorch")
    parser.add_argument(
        "--pairs",
        nargs="+",
        default=["Unet/resnet18", "Linknet/mobilenet_v2", "FPN/efficientnet-b0", "Segformer/mit_b0"],
    )
    parser.add_argument("--beside", default="Unet/resnet18")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--loss", default="focal", help="of focal, bce and dice")
    parser.add_argument("--seeds", type=int, default=3, help="of the pair that is compared, as the engine draws them")
    parser.add_argument("--folds", type=int, default=3)
    shared = Path(os.environ.get("ENGINE_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--data", type=Path, default=shared / "data" / "rts")
    parser.add_argument("--programs", type=Path, default=ROOT / "target" / "release")
    parser.add_argument("--python", default=str(ROOT / "target" / "peers" / "bench" / "bin" / "python"))
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "bench-regions")
    # One run of the Python side: for the processes that this script starts.
    parser.add_argument("--one", nargs=4, metavar=("JOB", "FOLDER", "SEED", "REGIONS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def iou(counts):
    """Of pixels true positive, false positive, false negative; 0 where there is nothing to find and nothing found."""
    hit, false, missed = counts
    return hit / max(hit + false + missed, 1)


# ---- the engine ----


def engine_cells(options, pair, seeds):
    """Counts by region of every cell: {(fold, seed): {region: (tp, fp, fn)}}."""
    name = pair.replace("/", "-")
    job = options.work / f"{name}.toml"
    arch, encoder = pair.split("/")
    quoted = {"data": str(options.data.resolve()), "arch": arch, "encoder": encoder, "loss": options.loss}
    numbers = {"folds": options.folds, "epochs": options.epochs}
    job.write_text(JOB.format(**{key: json.dumps(value) for key, value in quoted.items()}, **numbers))
    artifacts = options.work / "engine"
    folder = artifacts / "_cross_validations" / name
    command = [options.programs / "engine", "cv", "--quiet", "--config-file", job, "--name", name]
    command += ["--n-randoms", str(seeds), "--artifact-dir", artifacts, "--accelerator", "cpu"]
    command += ["--strategy", "cv-parallel", "--devices", *map(str, range(CORES))]
    command += ["--resume"] if folder.exists() else []
    code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if code not in (0, UNSTABLE):
        sys.exit(f"{pair}: engine cv ended with {code}")
    cells = {}
    for place in sorted(folder.glob(f"{name}-run-f*/figures/val_regions.json")):
        fold, seed = place.parts[-3].split("-run-f")[1].split("-")[0].split("s")
        regions = json.loads(place.read_text())["regions"]
        wanted = ("true_positives", "false_positives", "false_negatives")
        cells[int(fold), int(seed)] = {row["region"]: tuple(row[key] for key in wanted) for row in regions}
    if len(cells) != options.folds * seeds:
        sys.exit(f"{folder}: {len(cells)} of {options.folds * seeds} cells have counts by region")
    return job, cells


# ---- PyTorch ----


def train_one(job_file, folder, seed, regions):
    """One run with Lightning, validated on these regions; writes its counts by region."""
    import pandas as pd
    import torch
    import warnings
    from torch.utils.data import DataLoader

    import job
    from networks import IGNORED
    from samples import Samples
    from training import fit_model

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    settings = job.read(job_file)
    settings.random_seed, settings.channels_last = int(seed), True
    settings.val_regions = regions.split(",")
    module = fit_model(settings, job.hyperparameters(settings), 0, folder, 0)[0].eval()
    table = pd.read_parquet(Path(settings.train_data_dir) / "metadata.parquet", columns=["region"])
    counts = {}
    for region in settings.val_regions:
        rows = table.index[table["region"] == region].tolist()
        sums = torch.zeros(3, dtype=torch.long)
        for x, target in DataLoader(Samples(settings.train_data_dir, rows), batch_size=8):
            with torch.no_grad():
                found = torch.sigmoid(module(x)) > 0.5
            counted, truth = target != IGNORED, target == 1
            sums += torch.stack([(a & counted).sum() for a in (found & truth, found & ~truth, ~found & truth)])
        counts[region] = sums.tolist()
    (Path(folder) / "regions.json").write_text(json.dumps(counts))


def torch_cells(options, job, of_engine):
    """As engine_cells, over the same folds and seeds."""

    def cell(key):
        fold, seed = key
        folder = options.work / "torch" / f"f{fold}s{seed}"
        result = folder / "regions.json"
        if not result.exists():
            regions = ",".join(sorted(of_engine[key]))
            folder.mkdir(parents=True, exist_ok=True)
            command = [options.python, HERE / "regions.py", "--one", job, folder, str(seed), regions]
            with open(folder / "log.txt", "w") as log:
                subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        return key, {region: tuple(counts) for region, counts in json.loads(result.read_text()).items()}

    with ThreadPoolExecutor(CORES) as pool:
        return dict(pool.map(cell, of_engine))


# ---- the table ----


def by_region(cells):
    """IoU of each region over the seeds: each is validated on in one fold."""
    found = {}
    for (_, seed), regions in sorted(cells.items()):
        for region, counts in regions.items():
            found.setdefault(region, {})[seed] = iou(counts)
    return {region: list(of_seeds.values()) for region, of_seeds in sorted(found.items())}


def by_seed(cells):
    """IoU over the pixels of all folds, for each seed."""
    sums = {}
    for (_, seed), regions in cells.items():
        for counts in regions.values():
            sums[seed] = [a + b for a, b in zip(sums.get(seed, (0, 0, 0)), counts)]
    return [iou(counts) for _, counts in sorted(sums.items())]


def told(values):
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}"


def main():
    options = arguments()
    if options.one:
        return train_one(*options.one)
    options.work.mkdir(parents=True, exist_ok=True)
    columns, job = {}, None
    for pair in options.pairs:
        is_compared = pair == options.beside
        pair_job, cells = engine_cells(options, pair, options.seeds if is_compared else 1)
        columns[pair] = cells
        print(f"{pair}: {len(cells)} cells", file=sys.stderr, flush=True)
        if is_compared:
            columns[f"{pair}, PyTorch"] = torch_cells(options, pair_job, cells)
            print(f"{pair}: {len(cells)} cells with PyTorch", file=sys.stderr, flush=True)
    print("| region | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    tables = [by_region(cells) for cells in columns.values()]
    for region in tables[0]:
        print(f"| {region} | " + " | ".join(told(table[region]) for table in tables) + " |")
    seeds = {name: by_seed(cells) for name, cells in columns.items()}
    print("| all pixels | " + " | ".join(told(values) for values in seeds.values()) + " |")
    if options.beside in columns and options.seeds > 1:
        ours, theirs = seeds[options.beside], seeds[f"{options.beside}, PyTorch"]
        print(
            f"\n{options.beside}, {options.epochs} epochs, {options.seeds} seeds: means differ by "
            f"{abs(mean(ours) - mean(theirs)):.3f}; standard deviations over seeds {stdev(ours):.3f} and {stdev(theirs):.3f}"
        )


if __name__ == "__main__":
    main()
