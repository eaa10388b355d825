"""Runs the fuzzers of a build, as many at once as there are processors.

New inputs stay in BUILD/corpus. An input that fails is kept in BUILD/findings, and the command that
runs it again is printed.
"""
import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("seconds", type=int, nargs="?", default=10, help="for each (default 10)")
    parser.add_argument("--runs", type=int, help="so many executions each, whatever time it takes")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these: reply, config ...")
    return parser.parse_args()


def find(build, only):
    """The binaries of the build, by what they are called without fuzz_."""
    paths = sorted(p for p in (build / "tests").glob("fuzz_*") if p.is_file())
    found = {p.name.removeprefix("fuzz_"): p for p in paths if os.access(p, os.X_OK)}
    unknown = set(only or ()) - set(found)
    if unknown or not found:
        sys.exit(f"fuzz: not in {build}: {', '.join(sorted(unknown)) or 'any fuzzer'}")
    return {name: path for name, path in found.items() if not only or name in only}


def run(name, binary, options):
    """The exit code, what was printed, and the inputs that failed."""
    found = options.build / "corpus" / name
    findings = options.build / "findings"
    for directory in (found, findings):
        directory.mkdir(parents=True, exist_ok=True)
    limit = f"-runs={options.runs}" if options.runs else f"-max_total_time={options.seconds}"
    command = [binary, limit, "-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={findings}/{name}-"]
    words = HERE / f"{name}.dict"
    if words.is_file():
        command.append(f"-dict={words}")
    before = set(findings.iterdir())
    done = subprocess.run([*command, found, HERE / "corpus" / name], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    new = sorted(p for p in set(findings.iterdir()) - before if p.name.startswith(f"{name}-"))
    return done.returncode, done.stdout.decode(errors="replace"), new


def report(name, binary, result):
    code, text, inputs = result
    ran = re.search(r"^stat::number_of_executed_units:\s*(\d+)", text, re.MULTILINE)
    count = f"{int(ran[1]):,} executions" if ran else "it ended before it could count"
    print(f"{'failed' if code else 'passed'}  fuzz_{name}: {count}", flush=True)
    if not code:
        return
    for line in re.findall(r"^.*(?:ERROR: |SUMMARY: |runtime error: |Assertion |Base64: ).*$", text,
                           re.MULTILINE)[:8]:
        print(line[:230])
    print(text[-6000:])
    for path in inputs:
        print(f"to run it again: {os.path.relpath(binary)} {os.path.relpath(path)}", flush=True)


def main():
    options = arguments()
    options.build = options.build.resolve()
    fuzzers = find(options.build, options.only)
    failed = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = {name: pool.submit(run, name, binary, options) for name, binary in fuzzers.items()}
        for name, job in jobs.items():
            report(name, fuzzers[name], job.result())
            failed += job.result()[0] != 0
    print(f"{len(fuzzers) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
