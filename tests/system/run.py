"""Runs the system tests: python3 run.py [--jobs N] [test_FILE[.py] ...]

Every file runs in network and mount namespaces of its own: nothing leaves the machine, nothing
collides, and nothing on the machine changes. Prints a line per test and, last, the counts.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

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
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # every IPv4 address is this machine: a packet to anywhere stays here, and can be seen on lo
    subprocess.run(["ip", "route", "add", "local", "default", "dev", "lo"], check=True)
    sys.path.insert(0, str(HERE))
    report = Report()
    unittest.defaultTestLoader.loadTestsFromName(name).run(report)
    Path(result_file).write_text(json.dumps(report.counts))


def namespaces():
    """The words before a command that give it its own namespaces, or None."""
    words = ["unshare", "--net"]
    if os.getuid() != 0:
        words += ["--user", "--map-root-user"]
        os.environ["PRIVYDNS_USERNS"] = "1"  # root of one user only: some tests cannot run
    for more in (["--mount"], []):  # in a plain chroot nothing can be mounted privately
        if subprocess.run([*words, *more, "true"], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0:
            if not more:
                os.environ["PRIVYDNS_NO_MOUNTS"] = "1"
            return words + more
    return None


def outside(name, words):
    """Runs one file; returns its output and counts."""
    with tempfile.NamedTemporaryFile() as result:
        command = [*words, sys.executable, __file__, "--inside", name, result.name]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=FILE_TIMEOUT, check=False)
            output, ended = done.stdout.decode(errors="replace"), f"exit code {done.returncode}"
        except subprocess.TimeoutExpired as error:
            output = (error.stdout or b"").decode(errors="replace")
            ended = f"not finished in {FILE_TIMEOUT} s"
        counts = json.loads(Path(result.name).read_text() or "{}")
    if not counts:
        counts = {"passed": 0, "failed": 1, "skipped": 0}
        output += f"failed  {name}: {ended}\n"
    return output, counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--inside", nargs=2)
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    if arguments.inside:
        inside(*arguments.inside)
        return 0
    names = [Path(f).stem if f.endswith(".py") else f for f in arguments.files] or \
        sorted(p.stem for p in HERE.glob("test_*.py"))
    words = namespaces()
    total = {"passed": 0, "failed": 0, "skipped": 0}
    if words is None:
        print("skipped all system tests: they need root, or user namespaces (unshare -rn)")
        total["skipped"] = len(names)
        names = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for output, counts in pool.map(lambda n: outside(n, words), names):
            print(output, end="", flush=True)
            for word, count in counts.items():
                total[word] += count
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
