"""The programs under torture, with the shim before them."""
import ctypes
import os
import re
import signal
import socket
import struct
import subprocess
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rrset

import harness
from calls import Control

PR_SET_PDEATHSIG = 1
DEADLINE = 4.5  # of a question, query.deadline
PATIENCE = 0.5  # with the answer to one that may be lost
PLACES = -1     # in place of N: none fails, and the place of each call is written down
LIBC = ctypes.CDLL(None)


class Broken(Exception):
    """What must hold does not."""


def end_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Victim:
    """A program with the shim before it. What it says goes to a file."""

    def __init__(self, directory, shim):
        self.dir = directory
        self.control = Control(directory / "control")
        self.said = directory / "said"
        self.where = directory / "where"
        self.env = {**os.environ, "LD_PRELOAD": str(shim),
                    "TORTURE_CONTROL": str(self.control.path), "TORTURE_LOG": str(self.where),
                    "ASAN_OPTIONS": "verify_asan_link_order=0",
                    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
        self.child = None

    def forget_leaks(self, kind):
        """For programs that soon end: OpenSSL's start forgets memory of its own if it lacks some."""
        leaks = "0" if kind == "malloc" else "1"
        self.env["ASAN_OPTIONS"] = f"verify_asan_link_order=0:detect_leaks={leaks}"

    def arm(self, kind, n, error, many=1):
        self.where.write_text("")
        self.where.chmod(0o666)
        if n == PLACES:
            self.control.arm(kind, 0, error, 0)
        else:
            self.control.arm(kind, n, error, many)

    def places(self):
        """Each N at which something new is called from somewhere, or that is the last such."""
        whence = [place for place, in struct.iter_unpack("=Q", self.where.read_bytes())]
        first = {place: n for n, place in reversed(list(enumerate(whence, 1)))}
        last = {place: n for n, place in enumerate(whence, 1)}
        return sorted({*first.values(), *last.values()})

    def run(self, *argv):
        with open(self.said, "wb") as out:
            self.child = subprocess.Popen([str(a) for a in argv], env=self.env, cwd=self.dir,
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          preexec_fn=end_with_parent)

    def text(self):
        return self.said.read_text(errors="replace")

    def check_said(self):
        complaint = harness.COMPLAINTS.search(self.text())
        if complaint:
            raise Broken(self.text()[complaint.start():][:6000])

    def wait(self, seconds):
        """Its exit code; a signal that killed it, or no end, is wrong."""
        try:
            code = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Broken(f"does not end within {seconds} s") from None
        self.check_said()
        if code < 0:
            raise Broken(f"killed by {signal.Signals(-code).name}")
        return code

    def kill(self):
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def check_alive(self):
        if self.child.poll() is not None:
            self.wait(0)
            raise Broken(f"ended with exit code {self.child.returncode}")

    def descriptors(self):
        try:
            return len(os.listdir(f"/proc/{self.child.pid}/fd"))
        except OSError:
            return 0

    def failure(self):
        """Where the shim made it fail: function, file and line of each frame."""
        lines = []
        for line in self.where.read_text().splitlines():
            frame = re.match(r"(.+)\((.*)\+(0x[0-9a-f]+)\)", line)
            if not frame:
                lines += [line] * (line != "[0x0]")
            elif "torture-shim" not in frame[1]:
                lines.append("  " + place(*frame.groups()))
        return "\n".join(lines)


def place(file, function, offset):
    if function:
        return f"{function} in {file}"
    before = hex(int(offset, 16) - 1)  # the call, not where it returns to
    found = subprocess.run(["addr2line", "-fsie", file, before], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, check=False, text=True).stdout.split("\n")
    return "\n  ".join(map(" ".join, zip(found[::2], found[1::2]))) or f"{file} {offset}"


class Daemon(Victim):
    """privydnsd, and questions to it."""

    user, workers = "root", 1
    before = ()  # words before the program

    def __init__(self, directory, shim, upstream):
        super().__init__(directory, shim)
        self.file = directory / "privydns.yaml"
        self.names = 0
        self.upstream = upstream
        self.write()

    def write(self, *more_addresses):
        listen = [f"{a}:53" for a in ("127.0.0.1", *more_addresses)]
        self.file.write_text(harness.json.dumps({
            "user": self.user, "listen": listen, "workers": self.workers,
            "cache": {"size": "64KiB"},
            "pools": {"default": {"plaintext": True, "upstreams": [self.upstream]}},
            "limits": {"connections_per_upstream": 1},
            "log": {"target": "stderr", "level": "notice"}}, indent=1))

    def start(self):
        self.run(*self.before, harness.PRIVYDNSD, "-c", self.file)

    def answers(self, seconds=20):
        """True once it answers; False if it ends instead."""
        query = dns.message.make_query("localhost", "A").to_wire()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.child.poll() is not None:
                return False
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(0.2)  # it may have been lost
                s.connect(("127.0.0.1", 53))
                try:
                    s.send(query)
                    return s.recv(512) != b""
                except TimeoutError:
                    pass
                except ConnectionError:
                    time.sleep(0.001)
        raise Broken(f"neither answers nor ends within {seconds} s")

    def begin(self):
        self.start()
        if not self.answers():
            raise Broken("does not start:\n" + self.text())
        return self

    def ask(self, name, tcp, timeout, address="127.0.0.1"):
        """The reply, or None if none comes."""
        query = dns.message.make_query(name, "A", use_edns=0)
        ask = dns.query.tcp if tcp else dns.query.udp
        try:
            return ask(query, address, timeout=timeout)
        except (dns.exception.Timeout, EOFError):
            return None

    def fresh_name(self):
        self.names += 1
        return f"q{self.names:06}.wild.example"

    def victim_question(self, tcp):
        """It may fail, or be lost. But it gets no wrong answer."""
        try:
            reply = self.ask(self.fresh_name(), tcp, PATIENCE)
        except OSError:
            reply = None
        if reply and reply.rcode() != dns.rcode.SERVFAIL:
            check_reply(reply)

    def good_question(self, tcp=False, address="127.0.0.1"):
        """It is answered."""
        self.check_alive()
        reply = self.ask(self.fresh_name(), tcp, DEADLINE + 1, address)
        self.check_alive()
        if not reply:
            raise Broken(f"no reply to a later question over {'TCP' if tcp else 'UDP'}")
        check_reply(reply)

    def quiet(self, baseline, seconds):
        """Are there no more descriptors than before, soon?"""
        until = time.monotonic() + seconds
        while self.descriptors() > baseline:
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        return True

    def stop(self):
        self.check_alive()
        self.child.send_signal(signal.SIGTERM)
        code = self.wait(30)
        if code:
            raise Broken(f"ended with exit code {code}")


def check_reply(reply):
    if reply.rcode() != dns.rcode.NOERROR:
        raise Broken(f"a later question failed:\n{reply}")
    if harness.texts(reply, "A") not in (["192.0.2.10"], ["192.0.2.99"]):  # scripted, the zone's
        raise Broken(f"a wrong answer:\n{reply}")
