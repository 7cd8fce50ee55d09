"""Tests of the driver: python3 -m unittest discover -s benches/peers"""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import compare
import job
import measure
import sides
from compare import Group, Line
from measure import Failed, Ratio

HERE = Path(__file__).resolve().parent
# Far longer than anything here takes: a test waits for a fact, not for a time.
DEADLINE_SECS = 300


def python(code):
    return [sys.executable, "-c", code]


class Ratios(unittest.TestCase):
    def test_are_taken_pair_by_pair(self):
        # The middles of the sides are 2 and 2: their ratio would be 1.
        ratio = Ratio.of([1.0, 2.0, 9.0], [2.0, 1.0, 3.0])
        self.assertEqual((ratio.lowest, ratio.middle, ratio.highest), (0.5, 2.0, 3.0))

    def test_of_sides_with_unequal_rounds_are_refused(self):
        with self.assertRaises(ValueError):
            Ratio.of([1.0, 2.0], [1.0])

    def test_are_within_up_to_their_bar_and_never_if_they_are_no_numbers(self):
        words = [measure.verdict(value, 0.5) for value in (0.4, 0.5, 0.51, math.nan)]
        self.assertEqual(words, ["within", "within", "BEYOND", "BEYOND"])
        self.assertEqual(measure.verdict(9.0, None), "")


class Processes(unittest.TestCase):
    def test_tell_time_cores_and_memory_of_themselves_and_their_children(self):
        held = 64 << 20
        work = f"import time; kept = bytearray({held}); begun = time.process_time()\nwhile time.process_time() - begun < 0.2: pass"
        outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True); print('over')"
        taken = measure.run(python(outer))
        self.assertEqual(taken.stdout, "over\n")
        self.assertGreaterEqual(taken.cpu_secs, 0.2)
        self.assertGreaterEqual(taken.wall_secs, 0.2)
        self.assertGreaterEqual(taken.peak_bytes, held)

    def test_that_fail_say_why(self):
        with self.assertRaisesRegex(Failed, "(?s)ended with 7.*no such shoe"):
            measure.run(python("import sys; print('no such shoe', file=sys.stderr); sys.exit(7)"))
        self.assertEqual(measure.run(python("import sys; sys.exit(7)"), accepted=(0, 7)).stdout, "")

    @unittest.skipUnless(hasattr(os, "sched_getaffinity"), "this system holds no process to cores")
    def test_run_on_the_cores_that_the_driver_is_held_to(self):
        code = "import os, compare; compare.hold_to_cores(1); import measure, sys\n"
        code += "print(measure.run([sys.executable, '-c', 'import os; print(len(os.sched_getaffinity(0)))']).stdout)"
        shown = subprocess.run(python(code), cwd=HERE, capture_output=True, text=True, check=True).stdout
        self.assertEqual(shown.strip(), "1")

    def test_end_with_the_driver(self):
        with tempfile.TemporaryDirectory() as folder:
            sign = Path(folder) / "pid"
            inner = f"import os, pathlib, time; pathlib.Path({str(sign)!r}).write_text(f'{{os.getpid()}} '); time.sleep({DEADLINE_SECS})"
            code = "import measure, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
            driver = subprocess.Popen(python(f"{code}measure.run([sys.executable, '-c', {inner!r}])"), cwd=HERE)
            wait_for(lambda: sign.exists() and sign.read_text().endswith(" "))
            driver.send_signal(signal.SIGTERM)
            self.assertEqual(driver.wait(DEADLINE_SECS), 143)
            wait_for(lambda: not is_running(int(sign.read_text())))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def wait_for(fact):
    deadline = time.monotonic() + DEADLINE_SECS
    while not fact():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to be")
        time.sleep(0.01)


class Comparisons(unittest.TestCase):
    def group(self, calls, samples=((8, 2), (8, 2)), broken=()):
        def side(name, value, samples):
            def measured(place):
                calls.append(name)
                if name in broken:
                    raise Failed("it is not there")
                return {"seconds": value, "samples": samples}

            return measured

        both = {"a": side("a", 1.0, samples[0]), "b": side("b", 2.0, samples[1])}
        return Group("pair", both, [Line("pair/s", "a / b", "seconds", "a", "b", 0.5), Line("a", "a", "seconds", "a", None, 0.9)])

    def test_alternate_and_turn_round_each_time(self):
        calls = []
        taken, failed = compare.measured(self.group(calls), None, 3)
        self.assertEqual("".join(calls), "abbaab")
        self.assertEqual((len(taken["a"]), len(taken["b"]), failed), (3, 3, {}))

    def test_do_not_count_the_round_that_warms(self):
        calls = []
        group = self.group(calls)
        group.warm = True
        taken, _ = compare.measured(group, None, 1)
        self.assertEqual(("".join(calls), len(taken["a"])), ("abab", 1))

    def test_make_rows_with_their_verdict(self):
        group = self.group([])
        taken, _ = compare.measured(group, None, 2)
        rows = [compare.row(line, taken) for line in group.lines]
        self.assertEqual([(row["middle"], row["verdict"], row["pairs"]) for row in rows], [(0.5, "within", 2), (1.0, "BEYOND", 2)])
        self.assertIn("0.500", compare.table(rows))

    def test_go_on_without_a_side_that_can_not_be_measured_and_say_so(self):
        calls = []
        group = self.group(calls, broken=["b"])
        taken, failed = compare.measured(group, None, 2)
        self.assertEqual(("".join(calls), failed), ("aba", {"b": "it is not there"}))
        self.assertEqual([compare.row(line, taken) is None for line in group.lines], [True, False])

    def test_of_unequal_work_are_refused(self):
        with self.assertRaisesRegex(SystemExit, "same work"):
            compare.measured(self.group([], samples=((8, 2), (7, 3))), None, 1)

    def test_have_ids_of_their_own_and_sides_that_are_there(self):
        lines = [(group, line) for group in compare.groups() for line in group.lines]
        self.assertEqual(len({line.id for _, line in lines}), len(lines))
        for group, line in lines:
            self.assertIn(line.over, group.sides)
            self.assertIn(line.under, [*group.sides, None])

    def test_take_figures_alone(self):
        for values in ([], [0.0], [math.inf], [math.nan], [1.0, -1.0]):
            with self.assertRaises(Failed):
                sides.numbers(values)
        with self.assertRaises(Failed):
            sides.last_line("usage: step.py")


class Jobs(unittest.TestCase):
    def test_are_read_as_they_are_written(self):
        with tempfile.TemporaryDirectory() as folder:
            place = sides.Place(folder, "python", Path(folder) / 'a "data" folder', Path(folder) / "work", 2)
            place.write()
            settings = job.read(place.job)
            self.assertEqual(settings.train_data_dir, str(place.data))
            self.assertEqual((settings.subsample, settings.total_folds, settings.n_folds), (160, 5, 2))
            rates = [chosen["learning_rate"] for chosen in job.configurations(place.space)]
            self.assertEqual(rates, list(sides.LEARNING_RATES))
            # A configuration names every hyperparameter, and the job's own are what a single run trains with.
            of_run = job.hyperparameters(settings)
            self.assertEqual(set(of_run), set(job.HYPERPARAMETERS))
            self.assertEqual([job.hyperparameters(settings, chosen) for chosen in job.configurations(place.space)][0], of_run)

    def test_have_folds_as_scikit_learns(self):
        # KFold(3).split(range(8)): the first ones are larger by one.
        folds = [job.kfold(list(range(8)), 3, fold) for fold in range(3)]
        self.assertEqual([val for _, val in folds], [[0, 1, 2], [3, 4, 5], [6, 7]])
        self.assertEqual(folds[1][0], [0, 1, 2, 6, 7])

    def test_of_the_engine_are_whole_or_failed(self):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder) / "_runs/run-1/checkpoints/last"
            checkpoint.mkdir(parents=True)
            (checkpoint / "weights.safetensors").touch()
            prepared = {"event": "run-prepared", "train_samples": 128, "val_samples": 32}
            finished = {"event": "run-finished", "run_name": "run", "status": "unstable", "metrics": {"val/loss": 0.1}}
            text = "\n".join(json.dumps(event) for event in (prepared, finished, {"event": "result"}))
            self.assertEqual(sides.work_of_engine(text, 1, Path(folder)), {"samples": [(128, 32)]})
            for wrong in (text.replace("unstable", "failed"), text.replace("0.1", "NaN"), json.dumps(prepared)):
                with self.assertRaises(Failed):
                    sides.work_of_engine(wrong, 1, Path(folder))
            (checkpoint / "weights.safetensors").unlink()
            with self.assertRaisesRegex(Failed, "checkpoint"):
                sides.work_of_engine(text, 1, Path(folder))


if __name__ == "__main__":
    unittest.main()
