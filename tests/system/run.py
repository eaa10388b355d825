"""Runs the system tests: python3 run.py [--jobs N] [test_FILE[.py] ...]

Every file runs in network and mount namespaces of its own: nothing leaves the machine, nothing
collides, and nothing on the machine changes. Prints a line per test and, last, the counts.
"""
import argparse
import json
import sys
import time
import unittest
from pathlib import Path

import sandbox

HERE = Path(__file__).resolve().parent
FILE_TIMEOUT = 400


class Report(unittest.TestResult):
    """One line per test, counts at the end."""

    def __init__(self):
        super().__init__()
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def startTest(self, test):
        self.begun = time.monotonic()
        super().startTest(test)

    def say(self, word, test, text=""):
        self.counts[word] += 1
        seconds = time.monotonic() - getattr(self, "begun", time.monotonic())
        name = test.id() if hasattr(test, "id") else str(test)
        print(f"{word:7} {name} ({seconds:.1f} s){text}", flush=True)

    def addSuccess(self, test):
        self.say("passed", test)

    def addFailure(self, test, error):
        self.say("failed", test, "\n" + self._exc_info_to_string(error, test))

    addError = addFailure

    def addSkip(self, test, reason):
        self.say("skipped", test, ": " + reason)

    def addSubTest(self, test, subtest, error):
        if error:
            self.say("failed", subtest, "\n" + self._exc_info_to_string(error, test))


def inside(name, result_file):
    """In the namespaces: run one file."""
    sandbox.network()
    sys.path.insert(0, str(HERE))
    report = Report()
    with sandbox.workplace("privydns-tests-"):
        unittest.defaultTestLoader.loadTestsFromName(name).run(report)
    Path(result_file).write_text(json.dumps(report.counts))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=3)  # they mostly wait
    parser.add_argument("--inside", nargs=2)
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    if arguments.inside:
        inside(*arguments.inside)
        return 0
    names = [Path(f).stem if f.endswith(".py") else f for f in arguments.files] or \
        sorted(p.stem for p in HERE.glob("test_*.py"))
    return sandbox.run_all(names, [__file__, "--inside"], arguments.jobs, FILE_TIMEOUT)


if __name__ == "__main__":
    sys.exit(main())
