"""clang-tidy (.clang-tidy) and gcc -fanalyzer over lib/ and daemon/: checkers.py BUILD_GCC BUILD_CLANG

Both builds are configured with these compilers; only their compile commands are used. What a checker
says fails, unless `known` beside this file has it, with the reason. That file is for the versions of
Debian 12 (clang-tidy 14, gcc 12): others err elsewhere.
"""
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
SAID = re.compile(r"^(?P<file>[^\s:]+):\d+:\d+: (?:warning|error): .*\[(?P<check>[^][]+)\]$", re.M)


def commands(build):
    """{source file: (compile command, directory)} of what is in lib/ and daemon/."""
    found = {}
    for entry in json.loads((Path(build) / "compile_commands.json").read_text()):
        file = (Path(entry["directory"]) / entry["file"]).resolve()
        if file.is_relative_to(SOURCE / "lib") or file.is_relative_to(SOURCE / "daemon"):
            found[file] = shlex.split(entry["command"]), entry["directory"]
    return found


def clang_tidy(build):
    for file, (_, directory) in commands(build).items():
        yield ["clang-tidy", "-p", str(Path(build).resolve()), "--quiet", str(file)], directory


def gcc_analyzer(build):
    for command, directory in commands(build).values():
        command[command.index("-o") + 1] = os.devnull
        yield [*command, "-fanalyzer", "-fdiagnostics-plain-output"], directory


def run(job):
    command, directory = job
    done = subprocess.run(command, cwd=directory, check=False, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = {}
    places = list(SAID.finditer(done.stdout))
    for n, place in enumerate(places):
        end = places[n + 1].start() if n + 1 < len(places) else len(done.stdout)
        file = (Path(directory) / place["file"]).resolve()
        check = place["check"].split(",")[0].replace("-Werror=", "-W")
        found[place[0]] = (str(file.relative_to(SOURCE)), check, done.stdout[place.start():end])
    if done.returncode and not found:
        found[done.stdout] = (shlex.join(command[-3:]), "does not compile", done.stdout)
    return found


def known():
    """{(tool, file, check): reason}"""
    lines = (HERE / "known").read_text().splitlines()
    words = [line.split(None, 3) for line in lines if line and not line.startswith("#")]
    return {tuple(w[:3]): w[3] for w in words}


def check(name, jobs):
    """Says what is new, and what is known but not seen any more; true if nothing is new."""
    expected, seen, new = known(), set(), {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(run, jobs):
            for line, (file, what, text) in found.items():
                if (name, file, what) in expected:
                    seen.add((name, file, what))
                else:
                    new[line] = text
    print(*new.values(), sep="\n", end="")
    for tool, file, what in expected:
        if tool == name and (tool, file, what) not in seen:
            print(f"note: {name} does not say {what} of {file} any more: take it out of `known`")
    print(f"{'failed' if new else 'passed':7} {name} ({len(new)} new, {len(seen)} known)", flush=True)
    return not new


def main():
    gcc, clang = sys.argv[1:]
    results = [check("gcc-analyzer", list(gcc_analyzer(gcc))),
               check("clang-tidy", list(clang_tidy(clang)))]
    print(f"{results.count(True)} passed, {results.count(False)} failed, 0 skipped")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
