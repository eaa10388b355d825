"""What the system tests share: the daemon under test, questions to it, and the sandbox.

Each test file runs in a network and mount namespace of its own (run.py), where every address is
local and every port is free. So servers here use the real ports: 53 for us, 853 for upstreams.
"""
import collections
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

import servers
from servers import CA, Dnsdist, KnotResolver, Process, Unbound, wait_until  # noqa: F401

SOURCE = Path(__file__).resolve().parents[2]
sys.path.append(str(SOURCE / "tests" / "lab"))

import answers  # noqa: E402
import load  # noqa: E402
from upstream import Upstream  # noqa: E402

BUILD = Path(os.environ.get("PRIVYDNS_BUILD", SOURCE / "build-test"))
PRIVYDNSD = BUILD / "daemon" / "privydnsd"
PRIVYDNS = BUILD / "daemon" / "privydns"
NAME = "dot.example"  # the name in the certificates of upstreams
MOUNTS = not os.environ.get("PRIVYDNS_NO_MOUNTS")
USERNS = bool(os.environ.get("PRIVYDNS_USERNS"))
SANITIZED = bool(os.environ.get("PRIVYDNS_SANITIZED"))  # slower: give the daemon more time

for variable in [v for v in os.environ if v.startswith("PRIVYDNS_")]:
    del os.environ[variable]  # ours; privydnsd would take them for its own

COMPLAINTS = re.compile(r"(AddressSanitizer|LeakSanitizer|runtime error:|ThreadSanitizer|bug in privydns).*")


def run(*argv, timeout=30, **options):
    """Runs a program to its end; its output is text, stderr apart."""
    return subprocess.run([str(a) for a in argv], timeout=timeout, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, **options)


class Daemon:
    """privydnsd with a configuration (a dict, or YAML text) in a directory of its own."""

    def __init__(self, directory, config, *arguments, env=None, address="127.0.0.1", port=53):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.address, self.port = address, port
        self.file = self.dir / "privydns.yaml"
        self.arguments = [str(a) for a in arguments]
        self.env = {**os.environ, **(env or {})}
        self.before = []  # words before the program's
        if config is not None:
            self.write(config)
            self.arguments = ["-c", str(self.file), *self.arguments]
        self.process = None

    def write(self, config):
        if isinstance(config, dict):
            config = json.dumps({"user": "root", **config}, indent=2)  # JSON is YAML
        self.file.write_text(config)

    def start(self, wait=True):
        self.process = Process("privydnsd", [*self.before, str(PRIVYDNSD), *self.arguments],
                               self.dir, env=self.env)
        if wait:
            self.process.ready(self.answers_locally, seconds=10)
        return self

    def answers_locally(self):
        """Asked through a connected socket: where nobody listens yet, that is known at once."""
        query = dns.message.make_query("localhost", "A")
        with self.socket() as s:
            s.settimeout(0.2)
            try:
                s.connect((self.address, self.port))
                s.send(query.to_wire())
                rcode = dns.message.from_wire(s.recv(4096)).rcode()
                return rcode in (dns.rcode.NOERROR, dns.rcode.REFUSED)  # as `allow` says
            except (dns.exception.DNSException, OSError):
                return False

    def stop(self, number=servers.signal.SIGTERM):
        """Ends it and returns its exit code; anything a sanitizer said is an error."""
        code = self.process.stop(number, seconds=10)
        complaint = COMPLAINTS.search(self.log())
        if complaint:
            raise AssertionError("privydnsd: " + self.log()[complaint.start():][:4000])
        return code

    def send(self, number):
        self.process.send(number)

    def log(self):
        return self.process.text()

    def log_lines(self, pattern):
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern, seconds=10):
        return wait_until(lambda: self.log_lines(pattern), seconds, what=f"log line {pattern!r}")

    def ask(self, name, rdtype="A", tcp=False, timeout=6, **edns):
        query = dns.message.make_query(name, rdtype, **edns)
        ask = dns.query.tcp if tcp else dns.query.udp
        return ask(query, self.address, timeout=timeout, port=self.port)

    def socket(self):
        """For datagrams to it."""
        return socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET,
                             socket.SOCK_DGRAM)

    def raw(self, message, timeout=2):
        """One datagram; the reply's octets, or None if none comes."""
        with self.socket() as s:
            s.settimeout(timeout)
            s.sendto(message, (self.address, self.port))
            try:
                return s.recv(65536)
            except TimeoutError:
                return None

    def connect(self, timeout=6):
        return socket.create_connection((self.address, self.port), timeout)


def send_frame(s, message):
    s.sendall(len(message).to_bytes(2, "big") + message)


def read_exactly(s, count):
    """The octets, or None at the end of the stream."""
    data = b""
    while len(data) < count:
        more = s.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


def read_frame(s):
    """A message, or None at the end of the stream."""
    head = read_exactly(s, 2)
    return head and read_exactly(s, int.from_bytes(head, "big"))


def texts(reply, rdtype=None):
    """The answer section as sorted text."""
    return sorted(rr.to_text() for rrset in reply.answer for rr in rrset
                  if rdtype is None or rrset.rdtype == dns.rdatatype.from_text(rdtype))


def ede(reply):
    """The Extended DNS Errors of a reply: [(code, text)]."""
    return [(int(o.code), o.text or "") for o in reply.options
            if o.otype == dns.edns.OptionType.EDE]


class Load(load.Load):
    """The lab's, for names that real servers answer."""

    def __init__(self, daemon, rate, seconds, name="{}.wild.example"):
        super().__init__(daemon.address, rate, int(rate * seconds), patience=6)
        self.pattern = name

    def name(self, number):
        return answers.name_wire(self.pattern.format(f"q{number}x{os.getpid()}"))

    @staticmethod
    def is_right(name, address):
        return True

    def outcome(self):
        """Waits for the end: how many there are of each RCODE, and of LOST."""
        self.join()
        if self.error or self.crossed or self.strange:
            raise AssertionError(f"{self.error!r}, {self.strange} replies to nothing, "
                                 f"wrong answers: {self.crossed[:3]}")
        return dict(collections.Counter(self.rcodes))


def honest(conn, query):
    """A scripted server's answer to everything."""
    conn.answer(query, address="192.0.2.10")


class SystemTest(unittest.TestCase):
    """A test with a directory, a CA, and servers that end with it."""

    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="privydns-test-"))
        cls.dir.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        cls.counter = 0
        cls.ca = CA(cls.dir / "ca")
        cls.certificate = cls.ca.issue("upstream", [NAME])

    @classmethod
    def path(cls, label):
        """A fresh directory."""
        cls.counter += 1
        directory = cls.dir / f"{cls.counter}-{label}"
        directory.mkdir()
        return directory

    def begin(self, server):
        """Starts a server that ends with this test."""
        self.addCleanup(server.stop)
        return server.start()

    @classmethod
    def begin_for_class(cls, server):
        cls.addClassCleanup(server.stop)
        return server.start()

    def unbound(self, address="127.0.0.2", certificate=None, **options):
        return self.begin(Unbound(self.path("unbound"), address, 853,
                                  certificate or self.certificate, **options))

    def scripted(self, answer=honest, address="127.0.0.2", certificate=None, **options):
        """A scripted DoT server: answer(conn, query) is called in its thread for each query."""
        return self.begin(Upstream(address, certificate or self.certificate, answer, **options))

    @classmethod
    def upstream(cls, server_or_address, name=NAME, **more):
        """A configuration entry for a DoT upstream."""
        address = getattr(server_or_address, "address", server_or_address)
        return {"url": f"tls://{address}" + (f"#{name}" if name else ""), "ca_file": str(cls.ca.crt), **more}

    @classmethod
    def doh_upstream(cls, server_or_address, name=NAME, **more):
        """The same for DoH."""
        address = getattr(server_or_address, "address", server_or_address)
        return {**cls.upstream(address, name, **more),
                "url": f"https://{address}/dns-query" + (f"#{name}" if name else "")}

    @classmethod
    def config(cls, *upstreams, strategy="ordered", level="debug", **more):
        """A configuration with these upstreams: servers, addresses or entries."""
        entries = [u if isinstance(u, dict) else cls.upstream(u) for u in upstreams]
        return {"listen": ["127.0.0.1:53"],
                "pools": {"default": {"strategy": strategy, "upstreams": entries}},
                "log": {"target": "stderr", "level": level}, **more}

    def daemon(self, *upstreams, arguments=(), env=None, **more):
        """privydnsd over these upstreams, listening on 127.0.0.1:53."""
        return self.begin(Daemon(self.path("privydnsd"), self.config(*upstreams, **more),
                                 *arguments, env=env))

    def assert_answers(self, daemon, name="www.example", expected=("192.0.2.10",), **options):
        reply = daemon.ask(name, **options)
        self.assertEqual(dns.rcode.to_text(reply.rcode()), "NOERROR", reply)
        self.assertEqual(texts(reply, "A"), sorted(expected))
        return reply


def connections(server):
    """Established TCP connections to this server's port, as the kernel sees them."""
    wanted = bytes(reversed([int(p) for p in server.address.split(".")])).hex().upper()
    local = f"{wanted}:{server.port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        return [line for line in table.read().splitlines()[1:]
                if line.split()[1] == local and line.split()[3] == "01"]


def http_get(address, port, path):
    with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=5) as reply:
        return reply.read().decode()


# ---- the sandbox's files ----

def mount(*argv):
    if not MOUNTS:
        raise unittest.SkipTest("needs a mount namespace of its own, which a chroot cannot have")
    subprocess.run(["mount", *map(str, argv)], check=True)


def bind(source, target):
    """The file or directory target shows source, in this test file's namespace only."""
    mount("--bind", source, os.path.realpath(target))


def trust(test, ca):
    """The system's certificate authorities are this one, in this test."""
    certs = test.path("certs")
    shutil.copy(ca.crt, certs / "ca.pem")
    run("openssl", "rehash", certs)
    bind(certs, "/etc/ssl/certs")
    test.addCleanup(run, "umount", "/etc/ssl/certs")


def private_dev(directory):
    """A /dev of our own, so that /dev/log can be made in it."""
    new = Path(directory) / "dev"
    new.mkdir()
    mount("-t", "tmpfs", "tmpfs", new)
    for node in ("null", "zero", "full", "random", "urandom"):
        (new / node).touch()
        mount("--bind", f"/dev/{node}", new / node)
    for link, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                         ("stderr", "fd/2")):
        (new / link).symlink_to(target)
    (new / "shm").mkdir(mode=0o1777)
    mount("--move", new, "/dev")
