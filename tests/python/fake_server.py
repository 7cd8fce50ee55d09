"""Runs the fake W&B server whose program is given first, with one fault more.

usage: fake_server.py PROGRAM [--behind N] [the server's own options]

--behind N lets the first N matching requests through before any fault: one in the middle of a run.
"""

import importlib.util
import sys


def main():
    program = sys.argv.pop(1)
    behind = 0
    if "--behind" in sys.argv:
        at = sys.argv.index("--behind")
        behind = int(sys.argv[at + 1])
        del sys.argv[at : at + 2]

    spec = importlib.util.spec_from_file_location("fake_server", program)
    server = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(server)
    decide = server.Faults.decide

    def decide_later(self, label):
        if self.match.search(label):
            with self.lock:
                seen = self.__dict__.setdefault("let_through", 0)
                self.let_through = seen + 1
            if seen < behind:
                return None, {}
        return decide(self, label)

    server.Faults.decide = decide_later
    server.main()


if __name__ == "__main__":
    main()
