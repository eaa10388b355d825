"""The whole suite: python3 tests/all.py BUILD [BUILD_WITH_TOY]

Unit tests and the simulator, the toy protocol's test of the second build, the floors, the system
tests, then the fault scenarios and the torture in their short form. Prints a line per test; the
last line counts them all.
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
# cmocka's own lines
CMOCKA = {"passed": re.compile(r"^\[       OK \] (\S+)", re.M),
          "failed": re.compile(r"^\[  (?:FAILED|ERROR)  \] (?!\w+: \d+ test)(?!\d)(\S+)$", re.M),
          "skipped": re.compile(r"^\[  SKIPPED \] (?!\w+: \d+ test)(?!\d)(\S+)$", re.M)}


class Total:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed=0, failed=0, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def unit(total, build, *names):
    """meson test of all or these; counts what cmocka counts, and what says nothing as one test."""
    log = Path(build) / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    done = subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "-q", *names], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not log.exists():
        print(done.stdout.decode(errors="replace"))
        total.add(failed=done.returncode != 0)
        return
    for line in log.read_text().splitlines():
        one = json.loads(line)
        output = (one.get("stdout") or "") + (one.get("stderr") or "")
        good = one["result"] in ("OK", "EXPECTEDFAIL")
        found = {word: len(set(pattern.findall(output))) for word, pattern in CMOCKA.items()}
        if one["result"] == "SKIP":
            found = {"passed": 0, "failed": 0, "skipped": 1}
        elif good and not any(found.values()):
            found["passed"] = 1
        elif not good and not found["failed"]:
            found["failed"] = 1
        total.add(**found)
        print(f"{'passed' if good else 'failed':7} {one['name']} "
              f"({found['passed']} of {sum(found.values())}, {one['duration']:.1f} s)")
        if not good:
            print(output)


def floors(total):
    done = subprocess.run([sys.executable, TESTS / "floors" / "floors.py"], check=False,
                          stdout=subprocess.PIPE)
    total.add(**{"failed" if done.returncode else "passed": 1})
    print(f"{'failed' if done.returncode else 'passed':7} " + done.stdout.decode().strip())


def system(build, total, program):
    """System tests or scenarios: a program that prints a line for each, and last the counts."""
    env = {**os.environ, "PRIVYDNS_BUILD": str(Path(build).resolve())}
    child = subprocess.Popen([sys.executable, TESTS / program], env=env, stdout=subprocess.PIPE)
    last = ""
    for line in child.stdout:
        text = line.decode(errors="replace")
        if COUNTS.match(text):
            last = text
        else:
            print(text, end="", flush=True)
    child.wait()
    found = COUNTS.match(last)
    if found:
        passed, failed, skipped = map(int, found.groups())
        total.add(passed, failed, skipped)
    else:
        total.add(failed=1)


def main():
    total = Total()
    build, *build_with_toy = sys.argv[1:]
    unit(total, build)
    for other in build_with_toy:
        unit(total, other, "toy")
    floors(total)
    sys.stdout.flush()
    system(build, total, "system/run.py")
    system(build, total, "lab/lab.py")
    system(build, total, "torture/torture.py")
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
