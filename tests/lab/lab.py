"""Runs the fault lab's scenarios: python3 lab.py [--full] [--jobs N] [--keep] [NAME ...]

Each runs in namespaces of its own, several at a time. A line for each, and last the counts.
NAME: a file, or the beginning of a scenario's name (T1-, M). --full: the long form.
"""
import argparse
import json
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

import sandbox  # noqa: E402
from scenario import ScenarioError, Skipped, choices  # noqa: E402

SCENARIOS = HERE / "scenarios"
TIMEOUT, LONG_TIMEOUT = 120, 1800
OVER = " over "  # between a file and the protocol it is played with


def figures(lab):
    """What a load saw, in a few words."""
    from load import Result
    found = Result(lab.loads)
    said = []
    if found.latencies:
        p50, p99, worst = (f"{found.quantile(share) * 1000:.0f}" for share in (0.5, 0.99, 1))
        said.append(f"{found.total} asked, p50 {p50} ms, p99 {p99} ms, worst {worst} ms")
    said += lab.notes
    return ": " + "; ".join(said) if said else ""


def play(path, directory, full):
    """One scenario; returns its problems and its figures, or raises Skipped."""
    import expect, identities, machine, network, privacy, storm, tried  # noqa: F401,E401
    from scenario import Scenario
    from words import Lab
    file, _, protocol = path.partition(OVER)
    scenario = Scenario(file, full, protocol)
    not_built(scenario)
    lab = Lab(directory, scenario, full)
    try:
        lab.run()
    except ScenarioError as error:
        lab.problems.append(str(error))
    finally:
        lab.finish()
    problems = lab.problems
    if problems and lab.daemon:
        problems.append("the end of the log:\n" + lab.daemon.log()[-3000:])
    return problems, figures(lab)


def not_built(scenario):
    """Skipped: the build lacks a protocol that it needs."""
    import harness
    words = harness.run(harness.PRIVYDNSD, "-V").stdout.split()
    for protocol in scenario.protocols():
        if protocol not in words:
            raise Skipped(f"the build has no {protocol}")


def inside(path, result_file, full, keep):
    """In the namespaces: one scenario."""
    sandbox.network()
    begun, word = time.monotonic(), "passed"
    with sandbox.workplace("privydns-lab-", keep) as directory:
        try:
            problems, text = play(path, directory, full)
        except ScenarioError as error:
            problems, text = [str(error)], ""
        except Skipped as error:
            problems, text, word = [], f": {error}", "skipped"
        except Exception:  # pylint: disable=broad-except
            problems, text = [traceback.format_exc()], ""
    word = "failed" if problems else word
    name = Path(path).name.replace(".lab", "")
    print(f"{word:7} {name} ({time.monotonic() - begun:.1f} s){text}")
    for problem in problems:
        print("    " + problem.replace("\n", "\n    "))
    Path(result_file).write_text(json.dumps({"passed": 0, "failed": 0, "skipped": 0, word: 1}))
    if keep:
        print(f"    kept: {directory}")


def unusable(problem):
    """What was typed names nothing that can be played."""
    print(f"lab: {problem}", file=sys.stderr)
    sys.exit(1)


def chosen(names):
    """The files of these names; all without one."""
    everything = sorted(SCENARIOS.glob("*.lab"))
    found = []
    for name in names:
        some = [Path(name)] if name.endswith(".lab") and Path(name).exists() else \
            [path for path in everything if path.stem.startswith(name)]
        if not some:
            unusable(f"no file or scenario is called {name}")
        found += [path for path in some if path not in found]
    return [played for path in found or everything for played in plays(path)]


def plays(path):
    """The file, once for each protocol it leaves a choice of."""
    try:
        return [f"{path}{OVER}{protocol}" for protocol in choices(path)] or [str(path)]
    except ScenarioError as error:
        return unusable(error)


def main():
    parser = argparse.ArgumentParser(prog="lab", description="fault scenarios")
    parser.add_argument("--full", action="store_true", help="the long form: true rates and times")
    parser.add_argument("--jobs", type=int, default=6, help="so many at a time (default 6)")
    parser.add_argument("--keep", action="store_true", help="leave the logs, say where")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    flags = ["--full"] * arguments.full + ["--keep"] * arguments.keep
    if arguments.inside:
        inside(*arguments.inside, arguments.full, arguments.keep)
        return 0
    return sandbox.run_all(chosen(arguments.names), [__file__, *flags, "--inside"],
                           1 if arguments.full else arguments.jobs,
                           LONG_TIMEOUT if arguments.full else TIMEOUT)


if __name__ == "__main__":
    sys.exit(main())
