"""Namespaces for tests: each file runs in its own, several at a time; counts come back.

Nothing leaves the machine, nothing collides, and nothing on the machine changes.
"""
import concurrent.futures
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

WORDS = ("passed", "failed", "skipped")
PDEATHSIG = 1  # of prctl(2)
ENDED = 128 + signal.SIGTERM
PATIENCE = 10  # s, for a child to take away what it made


def network():
    """In a namespace: every IPv4 address is this machine, a packet to anywhere is seen on lo."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "local", "default", "dev", "lo"], check=True)


@contextlib.contextmanager
def workplace(prefix, keep=False):
    """In the namespaces: a directory for all temporary files. It is taken away however this process
    ends, but by SIGKILL; and it ends with whoever started it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGTERM)
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    directory.chmod(0o755)
    tempfile.tempdir = str(directory)
    try:
        yield directory
    finally:
        tempfile.tempdir = None
        if not keep:
            shutil.rmtree(directory, True)


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


def output_of(child, timeout):
    """All that it writes, and how it ended."""
    try:
        output = child.communicate(timeout=timeout)[0]
        return output, f"exit code {child.returncode}"
    except subprocess.TimeoutExpired:
        child.terminate()
    try:
        output = child.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        output = child.communicate()[0]
    return output, f"not finished in {timeout} s"


def run_one(name, command, timeout, children):
    """Runs `command NAME RESULT_FILE`; returns its output and the counts it wrote."""
    with tempfile.NamedTemporaryFile() as result:
        child = subprocess.Popen([*command, name, result.name], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        children.append(child)
        output, ended = output_of(child, timeout)
        output = output.decode(errors="replace")
        counts = json.loads(Path(result.name).read_text() or "{}")
    if not counts:
        counts = {"failed": 1}
        output += f"failed  {name}: {ended}\n"
    return output, counts


@contextlib.contextmanager
def ending(children):
    """SIGTERM and Ctrl-C end the children too, and not with a traceback."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        for child in children:
            child.terminate()
        sys.exit(getattr(end, "code", 128 + signal.SIGINT))
    finally:
        signal.signal(signal.SIGTERM, before)


def run_all(names, arguments, jobs, timeout):
    """Runs python ARGUMENTS NAME RESULT_FILE for each name, prints, and returns an exit code."""
    words = namespaces()
    total = dict.fromkeys(WORDS, 0)
    if words is None:
        print("skipped all: they need root, or user namespaces (unshare -rn)")
        total["skipped"] = len(names)
        names = []
    command = [*(words or []), sys.executable, *arguments]
    children = []
    with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool, ending(children):
        for output, counts in pool.map(lambda name: run_one(name, command, timeout, children),
                                       names):
            print(output, end="", flush=True)
            for word, count in counts.items():
                total[word] += count
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] else 0
