"""Everything that can fail does, once: python3 torture.py [--full] [SCENARIO ...]

A scenario (scenarios.py) is a program, what happens to it, and what has to hold while the N-th
allocation, or the N-th system call of one kind, fails in it: every N with --full (or, where each
needs a program of its own, two of those that come from the same place), else some N of some
scenarios. PRIVYDNS_BUILD names the build; with sanitizers more is seen. Prints a line per
scenario and, last, the counts. --fail KIND:N[:ERROR] plays just that failure.
"""
import argparse
import errno
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]
os.environ.setdefault("PRIVYDNS_BUILD", str(HERE.parents[1] / "build-test"))
BUILD = Path(os.environ["PRIVYDNS_BUILD"]).resolve()
import calls  # noqa: E402
import sandbox  # noqa: E402
import scenarios  # noqa: E402
import upstreams  # noqa: E402
from victim import PLACES  # noqa: E402

BROKEN_MOST = 8  # then a scenario gives up
UNREACHED = 3    # so many N in a row that nothing comes to: that was all
TIMEOUT, FULL_TIMEOUT = 400, 7200  # of a scenario


class Sweep:
    """One scenario, played again and again."""

    def __init__(self, name, scenario, full):
        self.name, self.scenario, self.full = name, scenario, full
        self.played = self.broken = 0

    def count(self, kind, errors):
        self.scenario.play(kind, 0, errors[0])
        return self.scenario.control.count

    def some(self, kind, total):
        """So many N, evenly spread, the first and the last among them."""
        most = self.scenario.some_memory if kind == "malloc" else self.scenario.some
        if total <= most:
            return range(1, total + 1)
        return sorted({1 + i * (total - 1) // max(1, most - 1) for i in range(most)})

    def play(self, kind, n, error):
        """False: it did not come to that."""
        scenario = self.scenario
        try:
            scenario.play(kind, n, error)
        except Exception as reason:  # of whatever class: it is what is wrong
            self.report(kind, n, error, reason)
            scenario.renew()
            return True
        self.played += scenario.control.failed > 0
        return scenario.control.failed > 0

    def report(self, kind, n, error, reason):
        self.broken += 1
        print(f"-- {self.name} --fail {kind}:{n}:{error}\n{reason}\n"
              f"{self.scenario.program.failure()}", flush=True)
        if self.broken >= BROKEN_MOST:
            raise SystemExit(f"{self.name}: and so on")

    def kinds(self):
        """All, or in a short run memory and every third, which are others for other scenarios."""
        kinds = list(self.scenario.kinds.items())
        return kinds if self.full else kinds[:1] + kinds[1 + len(self.name) % 3::3]

    def run(self):
        for kind, errors in self.kinds():
            total = self.count(kind, errors)
            if self.full and kind == "malloc" and self.scenario.by_place:
                self.run_places(kind, errors)
            elif self.full:
                self.run_all(kind, errors)
            else:
                for i, n in enumerate(self.some(kind, total)):
                    self.play(kind, n, errors[(i + len(kind)) % len(errors)])
        if not self.played:
            raise scenarios.Broken("nothing ever failed: is the shim there?")

    def run_places(self, kind, errors):
        self.scenario.play(kind, PLACES, errors[0])
        places = self.scenario.program.places()
        if not places:
            raise scenarios.Broken("no place was written down: is the shim there?")
        for n in places:
            self.play(kind, n, errors[0])

    def run_all(self, kind, errors):
        n = unreached = 0
        while unreached < UNREACHED:
            n += 1
            reached = [self.play(kind, n, error) for error in errors]
            unreached = 0 if any(reached) else unreached + 1


def inside(arguments, name, result_file):
    """In the namespaces: one scenario."""
    sandbox.network()
    scenario = scenarios.ALL[name]()
    shim = BUILD / "tests" / "torture-shim.so"
    sweep = Sweep(name, scenario, arguments.full)
    begun = time.monotonic()
    with sandbox.workplace("privydns-torture-") as directory:
        try:
            scenario.set_up(directory, arguments.certificates, shim)
            if arguments.fail:
                kind, n, *error = arguments.fail.split(":")
                sweep.play(kind, int(n), *(error or [scenario.kinds[kind][0]]))
            else:
                sweep.run()
            scenario.finish()
        except scenarios.Broken as reason:
            sweep.broken += 1
            print(f"-- {name}\n{reason}")
        finally:
            if scenario.program:
                scenario.program.kill()
            scenario.tear_down()
    word = "failed" if sweep.broken else "passed"
    print(f"{word:7} torture: {name} ({sweep.played} failures, {time.monotonic() - begun:.1f} s)")
    Path(result_file).write_text(json.dumps({word: 1}))


def unusable(arguments):
    """Why what was typed cannot be played, or None."""
    unknown = sorted(set(arguments.scenarios) - set(scenarios.ALL))
    if unknown:
        return f"no scenario is called {', '.join(unknown)}; there are: {', '.join(scenarios.ALL)}"
    kinds = {**calls.MEMORY, **calls.CALLS}
    words = re.fullmatch(r"(\w+):\d+(?::(\w+))?", arguments.fail or "malloc:1")
    if not words or words[1] not in kinds or words[2] and not hasattr(errno, words[2]):
        return f"--fail is KIND:N[:ERROR]; there are the kinds {', '.join(kinds)}"
    return None


def outside(arguments):
    os.environ["PRIVYDNS_BUILD"] = str(BUILD)  # harness took it away
    names = arguments.scenarios or list(scenarios.ALL if arguments.full else scenarios.SHORT)
    with tempfile.TemporaryDirectory(prefix="privydns-torture-") as certificates:
        Path(certificates).chmod(0o755)
        upstreams.make_certificates(Path(certificates))
        options = ["--full"] * arguments.full + ["--certificates", certificates]
        if arguments.fail:
            options += ["--fail", arguments.fail]
        return sandbox.run_all(names, [__file__, *options, "--inside"], arguments.jobs,
                               FULL_TIMEOUT if arguments.full else TIMEOUT)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fail", metavar="KIND:N[:ERROR]")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--certificates", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("scenarios", nargs="*")
    return parser.parse_args()


def main():
    arguments = parse()
    if not arguments.inside:
        problem = unusable(arguments)
        if problem:
            print(f"torture: {problem}", file=sys.stderr)
            return 1
        return outside(arguments)
    inside(arguments, *arguments.inside)
    return 0


if __name__ == "__main__":
    sys.exit(main())
