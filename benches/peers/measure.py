"""What a process took, and what many pairs of such figures come to."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from statistics import median

# Longer than anything here takes on the slowest machine: what hangs is ended and told.
LONGEST_SECS = 3600
# Of the standard error of a process that failed.
LINES_SHOWN = 15


class Failed(Exception):
    """A side that could not be measured."""


@dataclass
class Taken:
    """What a process and its children took, children counted that it waited for."""

    stdout: str
    wall_secs: float
    # Of all of them together.
    cpu_secs: float
    # Of the largest one.
    peak_bytes: int


def run(command, accepted=(0,)):
    """Runs a command to its end in a process group of its own, which is killed if this process is interrupted.

    Time begins before the process is made and ends when it is reaped. Its standard error goes to a file, so that a
    process that says much does not wait for a reader.
    """
    with tempfile.TemporaryFile() as stderr, tempfile.TemporaryFile() as stdout:
        begun = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True)
        watchdog = threading.Timer(LONGEST_SECS, lambda: os.killpg(child.pid, signal.SIGKILL))
        watchdog.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - begun
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            watchdog.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        text = stdout.read().decode(errors="replace")
        if child.returncode not in accepted:
            stderr.seek(0)
            last = stderr.read().decode(errors="replace").splitlines()[-LINES_SHOWN:]
            shown = "\n".join(last or text.splitlines()[-LINES_SHOWN:])
            raise Failed(f"{os.path.basename(command[0])} ended with {child.returncode}: {' '.join(command)}\n{shown}")
    # Linux counts kibibytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Taken(text, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


@dataclass
class Ratio:
    """What the pairs of two sides come to: the middle of their ratios, and the lowest and highest of them."""

    middle: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, over, under):
        """The ratios pair by pair."""
        ratios = [above / below for above, below in zip(over, under, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))


def verdict(value, bar):
    """Whether a figure is within its bar; nothing where none is set. What is no number is beyond every bar."""
    if bar is None:
        return ""
    return "within" if value <= bar else "BEYOND"


def alternating(sides, pairs):
    """The order in which sides are measured, round by round; every other round goes backwards, so that no side always comes after
    the same other one."""
    return [list(sides) if number % 2 == 0 else list(reversed(sides)) for number in range(pairs)]
