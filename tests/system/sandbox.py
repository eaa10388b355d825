"""Namespaces for tests: each file runs in its own, several at a time; counts come back.

Nothing leaves the machine, nothing collides, and nothing on the machine changes.
"""
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = ("passed", "failed", "skipped")


def network():
    """In a namespace: every IPv4 address is this machine, a packet to anywhere is seen on lo."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "local", "default", "dev", "lo"], check=True)


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


def run_one(name, command, timeout):
    """Runs `command NAME RESULT_FILE`; returns its output and the counts it wrote."""
    with tempfile.NamedTemporaryFile() as result:
        try:
            done = subprocess.run([*command, name, result.name], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout, check=False)
            output, ended = done.stdout.decode(errors="replace"), f"exit code {done.returncode}"
        except subprocess.TimeoutExpired as error:
            output = (error.stdout or b"").decode(errors="replace")
            ended = f"not finished in {timeout} s"
        counts = json.loads(Path(result.name).read_text() or "{}")
    if not counts:
        counts = {"failed": 1}
        output += f"failed  {name}: {ended}\n"
    return output, counts


def run_all(names, arguments, jobs, timeout):
    """Runs python ARGUMENTS NAME RESULT_FILE for each name, prints, and returns an exit code."""
    words = namespaces()
    total = dict.fromkeys(WORDS, 0)
    if words is None:
        print("skipped all: they need root, or user namespaces (unshare -rn)")
        total["skipped"] = len(names)
        names = []
    command = [*(words or []), sys.executable, *arguments]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for output, counts in pool.map(lambda name: run_one(name, command, timeout), names):
            print(output, end="", flush=True)
            for word, count in counts.items():
                total[word] += count
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] else 0
