"""Measures the engine beside what others would use: `make bench-peers`, or

compare.py [--pairs N] [--only ID ...] [--list] [--json FILE] [--python PATH] [--programs FOLDER] [--data FOLDER]

Sides alternate in one run on the same cores. Each line of the table is the median of the ratios of all pairs, with the
lowest and the highest of them, beside its bar. Exit code 0: all within; 1: something is beyond its bar; 3: something
could not be measured, which is told. Needs Python 3.11 and nothing else; the peers have a Python of their own.
"""

import argparse
import json
import os
import platform
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import sides
from measure import Failed, Ratio, alternating, verdict

ROOT = Path(__file__).resolve().parents[2]
# Cores that are measured on: the bars are for two.
CORES = 2


@dataclass
class Line:
    """One line of the report: a figure of one side over that of another, or alone."""

    id: str
    what: str
    figure: str
    over: str
    under: str | None
    bar: float | None


@dataclass
class Group:
    """Sides that are measured in alternation, and what is read from them."""

    id: str
    sides: dict
    lines: list
    # Whether each side runs once before it counts: files that were never read would weigh on the first pair.
    warm: bool = False


def steps(model, threads, name, layouts):
    made = {"engine": sides.engine_steps(model, threads)}
    made |= {layout: sides.torch_steps(model, threads, layout) for layout in layouts}
    lines = [
        Line(f"{name}/{layout}", f"{model} step, {threads} threads: engine / PyTorch {layout}", "ms", "engine", layout, bar)
        for layout, bar in layouts.items()
    ]
    return Group(name, made, lines)


def groups():
    """Everything there is to measure, in the order in which it is."""
    whole_run = [
        Line("run", "whole run, process start to end: engine / Lightning", "seconds", "engine", "lightning", 0.45),
        Line("run/memory", "peak memory of the largest process: engine / Lightning", "peak_bytes", "engine", "lightning", 0.7),
        Line("run/cpu", "CPU seconds of the same", "cpu_seconds", "engine", "lightning", None),
        Line("run/bare", "its arithmetic alone in PyTorch's fastest form / Lightning: the limit", "seconds", "bare", "lightning", None),
        Line("run/channels_last", "whole run: engine / Lightning in channels_last", "seconds", "engine", "channels_last", None),
    ]
    whole_tune = [
        Line("tune", "whole tune, two runs at a time: engine / Lightning", "seconds", "engine", "lightning", 0.55),
        Line("tune/memory", "peak memory of the largest process: engine / Lightning", "peak_bytes", "engine", "lightning", 0.7),
        Line("tune/bare", "its arithmetic alone in PyTorch's fastest form / Lightning: the limit", "seconds", "bare", "lightning", None),
        Line("tune/cpu", "CPU seconds of the same", "cpu_seconds", "engine", "lightning", None),
    ]
    loading = "samples a second, 3 augmentations: DataLoader / engine"
    trials = {
        "engine": sides.engine_trials,
        "journal": sides.trials_of("optuna_trials.py", "--storage", "journal"),
        "sqlite": sides.trials_of("optuna_trials.py", "--storage", "sqlite", "--trials", 40),
        "ray": sides.trials_of("ray_trials.py"),
    }
    of_trials = [Line("trials", "random search, ms a durable trial: engine", "ms", "engine", None, 0.5)]
    of_trials += [
        Line(f"trials/{name}", f"the same: engine / {what}", "ms", "engine", name, None)
        for name, what in [("journal", "Optuna, journal file"), ("sqlite", "Optuna, SQLite"), ("ray", "Ray Tune")]
    ]
    return [
        steps("unet-resnet18", 2, "step", {"default": 0.90, "channels_last": 1.0}),
        steps("unet-resnet18", 1, "step-1-thread", {"channels_last": 1.0}),
        steps("small", 2, "small-step", {"default": 0.80, "channels_last": 1.0}),
        Group(
            "run",
            {
                "engine": sides.engine_run,
                "lightning": sides.lightning_run(),
                "channels_last": sides.lightning_run("--channels-last"),
                "bare": sides.bare(processes=1, threads=CORES, runs=1),
            },
            whole_run,
            warm=True,
        ),
        Group(
            "tune",
            {
                "engine": sides.engine_tune,
                "lightning": sides.lightning_tune,
                "bare": sides.bare(processes=CORES, threads=1, runs=sides.CELLS // CORES),
            },
            whole_tune,
        ),
        Group(
            "loading",
            {"engine": sides.engine_loading, "dataloader": sides.torch_loading},
            [Line("loading", loading, "samples_per_second", "dataloader", "engine", 0.2)],
        ),
        Group("trials", trials, of_trials),
    ]


def measured(group, place, pairs):
    """What each side came to in each round. A side that can not be measured leaves the others without it."""
    taken, failed = {name: [] for name in group.sides}, {}
    rounds = [list(group.sides)] * group.warm + alternating(group.sides, pairs)
    for number, order in enumerate(rounds):
        for name in order:
            if name in failed:
                continue
            say(f"{group.id}: {name}, {number + 1} of {len(rounds)}")
            try:
                figures = group.sides[name](place)
            except Failed as error:
                failed[name] = str(error)
                say(f"{group.id}: {name} can not be measured: {error}")
                continue
            if number >= group.warm:
                taken[name].append(figures)
    same_work(group, taken)
    return {name: figures for name, figures in taken.items() if name not in failed}, failed


def same_work(group, taken):
    """Fails if the sides trained on different numbers of samples."""
    samples = {json.dumps(figures["samples"]) for side in taken.values() for figures in side if "samples" in figures}
    if len(samples) > 1:
        raise SystemExit(f"{group.id}: the sides did not do the same work: {' and '.join(sorted(samples))} samples")


def row(line, taken):
    """A line with its figures; none if one of its sides could not be measured."""
    if line.over not in taken or (line.under and line.under not in taken):
        return None
    over = [figures[line.figure] for figures in taken[line.over]]
    under = [figures[line.figure] for figures in taken[line.under]] if line.under else [1.0] * len(over)
    ratio = Ratio.of(over, under)
    return {
        **asdict(line),
        **asdict(ratio),
        "verdict": verdict(ratio.middle, line.bar),
        "pairs": len(over),
        "over_values": over,
        "under_values": under if line.under else None,
    }


def table(rows):
    """The rows as text."""
    head = ("id", "what", "median", "min", "max", "bar", "", "values")
    body = [head]
    for row in rows:
        values = " / ".join(shown(row["figure"], row[side]) for side in ("over_values", "under_values") if row[side])
        bar = "" if row["bar"] is None else f"{row['bar']:.2f}"
        figures = (f"{row[name]:.3f}" for name in ("middle", "lowest", "highest"))
        body.append((row["id"], row["what"], *figures, bar, row["verdict"], values))
    widths = [max(len(cells[at]) for cells in body) for at in range(len(head))]
    aligned = [str.ljust, str.ljust, str.rjust, str.rjust, str.rjust, str.rjust, str.ljust, str.ljust]
    return "\n".join(
        "  ".join(align(cell, width) for align, cell, width in zip(aligned, cells, widths)).rstrip() for cells in body
    )


def shown(figure, values):
    """The middle of what a side came to, with its unit."""
    middle = median(values)
    match figure:
        case "peak_bytes":
            return f"{middle / 2**20:.0f} MiB"
        case "ms":
            return f"{middle:.4g} ms"
        case "samples_per_second":
            return f"{middle:.0f}/s"
        case _:
            return f"{middle:.1f} s"


def machine(place):
    """What the figures were taken on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        # Another system: what Python calls it has to do.
        pass
    return {
        "cpu": model,
        "cores": place.threads,
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
        "data": "made up" if place.data.is_relative_to(place.work) else place.data.name,
    }


def hold_to_cores(count):
    """Holds this process, and with it all that it starts, to so many cores; how many there are."""
    if not hasattr(os, "sched_setaffinity"):
        return min(count, os.cpu_count() or 1)
    cores = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cores)
    return len(cores)


def data_folder(given, place):
    """The folder of real data, or else one that the engine makes up."""
    shared = Path(os.environ.get("ENGINE_SHARED") or ROOT.parent / "shared") / "data" / "rts"
    if given or shared.is_dir():
        return Path(given or shared).resolve()
    made = place.work / "data"
    if not (made / "config.toml").is_file():
        say("the real data are not here (ENGINE_SHARED names the folder with data/rts): data are made up")
        size = ["--samples", "518", "--patch-size", "128"]
        sides.measure.run([place.program("engine"), "data", "synth", str(made), *size])
    return made


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description="measures the engine beside its peers")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    peers = Path(os.environ.get("ENGINE_PEERS") or target / "peers")
    parser.add_argument("--pairs", type=int, default=5, help="rounds in which every side is measured once")
    parser.add_argument("--only", nargs="+", metavar="ID", help="groups, or lines of them; all else")
    parser.add_argument("--list", action="store_true", help="show what there is to measure, and end")
    parser.add_argument("--json", type=Path, help="where the figures go [WORK/results.json]")
    parser.add_argument("--python", default=peers / "bench/bin/python", help="Python with requirements.txt installed")
    parser.add_argument("--programs", type=Path, default=target / "release", help="folder of the release build")
    parser.add_argument("--data", help="training data folder")
    parser.add_argument("--work", type=Path, default=target / "bench-peers", help="folder for what the sides write")
    return parser.parse_args()


def main():
    # As an interrupt: what is being measured is ended with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = arguments()
    wanted = [
        group
        for group in groups()
        if not options.only or {group.id, *(line.id for line in group.lines)} & set(options.only)
    ]
    if options.list:
        for group in wanted:
            print("\n".join(f"{line.id:<28} {line.what}" for line in group.lines))
        return 0
    if not wanted or options.pairs < 1:
        say("nothing to measure: --list shows what there is, --pairs is at least 1")
        return 2
    cores = hold_to_cores(CORES)
    # Absolute, but for links: a virtual environment's Python is one, and knows itself by its own path.
    python, work = os.path.abspath(options.python), options.work.resolve()
    place = sides.Place(options.programs.resolve(), python, work, work, cores)
    place.data = data_folder(options.data, place)
    place.write()

    before, rows, missing = machine(place), [], []
    for group in wanted:
        taken, failed = measured(group, place, options.pairs)
        rows += [figures for line in group.lines if (figures := row(line, taken))]
        missing += [f"{group.id}: {name}: {why}" for name, why in failed.items()]
    results = options.json or work / "results.json"
    results.write_text(json.dumps({"machine": before, "lines": rows, "missing": missing}, indent=1))

    print(f"{before['cpu']}, {cores} cores, load {before['load_before']:.1f} before; data: {before['data']}")
    print(f"median of {options.pairs} alternating pairs, lowest and highest beside it; all values: {results}\n")
    print(table(rows))
    for one in missing:
        print(f"\nnot measured: {one}")
    if any(figures["verdict"] == "BEYOND" for figures in rows):
        return 1
    return 3 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
