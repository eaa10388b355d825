"""What is tortured: programs, what happens to them, and what has to hold when something fails.

A scenario plays one failure at a time: play(kind, n, error) makes the n-th call of that kind fail
(n 0: none), raises Broken if what must hold does not, and leaves in control.count and
control.failed how many there were and whether it came to that.
"""
import re
import signal
import socket
import time
from pathlib import Path

import harness
import victim
from calls import CALLS, FOR_EVER, LASTING, MEMORY
from servers import wait_until
from upstreams import PROTOCOLS, Upstream
from victim import Broken, Daemon, Victim

GROWTH_MOST = 1000  # blocks of memory: a full cache, and what is kept for later
CALLS_MOST = 500    # system calls in half a second in which something always fails
SPARE_SOCKETS = {"udp": 1, "udp-cut": 1, "dnscrypt": 8}
FEW = ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EAGAIN")  # of these there may be more later


class Scenario:
    kinds = {**MEMORY, **CALLS}
    some, some_memory = 1, 8  # N in a short run, of each kind of call and of memory
    by_place = False           # in a full run: not every N, but every place that calls

    def __init__(self, protocol="udp"):
        self.protocol = protocol
        self.program = None

    def set_up(self, directory, certificates, shim):
        self.dir, self.shim = Path(directory), shim
        self.upstream = Upstream(self.protocol, certificates, self.dir)
        self.upstream.server.start()
        self.renew()

    def tear_down(self):
        self.upstream.server.stop()

    def renew(self):
        """A fresh program, after a failure that broke it, too."""
        if self.program:
            self.program.kill()
        self.program = Daemon(self.dir, self.shim, self.upstream.entry())

    @property
    def control(self):
        return self.program.control

    def finish(self):
        """After the last failure."""


# ---- before it serves: one process each ----

def right_codes(kind, error):
    """How it may end that cannot start: 78 the configuration, 77 rights, 71 the rest."""
    files = {78} if kind in ("open", "read", "stat") else set()
    if error in FEW and kind != "setresuid":
        return {71} | files
    return {71, 77} | files


class Start(Scenario):
    """From the first call to the first answer: it ends with a word and its code, or serves."""

    by_place = True
    def renew(self):
        super().renew()
        self.program.user = "root" if harness.USERNS else "nobody"
        self.program.workers = 2
        self.program.write()

    def play(self, kind, n, error):
        d = self.program
        d.kill()
        d.forget_leaks(kind)
        d.arm(kind, n, error)
        d.start()
        try:
            self.judge(kind, error)
        except Broken:
            if "nss_database" not in d.failure():  # glibc itself ends there
                raise
        finally:
            d.control.disarm()
            d.kill()

    def judge(self, kind, error):
        d = self.program
        if d.answers() and self.serves():
            d.stop()
            return
        code, text = d.wait(0), d.text()
        if not d.control.failed:
            raise Broken(f"exit code {code} without any reason:\n{text}")
        if code not in right_codes(kind, error):
            raise Broken(f"exit code {code}:\n{text}")
        if not re.search(r"^\S+: .*\w", text, re.M):
            raise Broken(f"exit code {code} without a word")

    def serves(self):
        """False: it ends after all, as when one worker answers already and the other cannot."""
        d = self.program
        d.victim_question(False)
        d.victim_question(True)
        d.control.disarm()
        try:
            for i in range(6):
                d.good_question(tcp=i % 2)
        except (Broken, OSError):
            if d.child.poll() is None:
                raise
        return d.child.poll() is None


# ---- while it serves: one process for all ----

class Serving(Scenario):
    some, some_memory = 2, 16

    def renew(self):
        super().renew()
        self.program.begin()
        for tcp in (False, True, False):
            self.program.good_question(tcp)
        wait_until(self.settled, 10, what="connections end")
        # More sockets for datagrams, until they have been idle for long.
        spare = SPARE_SOCKETS.get(self.protocol, 0)
        self.baseline = self.program.descriptors() + spare
        self.blocks = self.control.blocks

    def settled(self):
        """Is the descriptor count one that lasts?"""
        before = self.program.descriptors()
        time.sleep(0.05)
        return self.program.descriptors() == before

    def play(self, kind, n, error):
        d = self.program
        d.check_alive()
        d.arm(kind, n, error)
        try:
            self.victim()
            if n == 0 or not d.control.failed:
                d.quiet(self.baseline, 0.2)  # the end of its connections is part of it
        finally:
            d.control.disarm()
        self.after()

    def after(self):
        self.program.good_question()
        if not self.program.quiet(self.baseline, 10):
            raise Broken(f"{self.program.descriptors() - self.baseline} descriptors too many")

    def finish(self):
        self.program.stop()
        grown = self.control.blocks - self.blocks
        if grown > GROWTH_MOST:
            raise Broken(f"{grown} more blocks of memory than in the beginning")


class Query(Serving):
    """One question: it may fail. The next one does not, and nothing is left over."""

    def __init__(self, protocol, tcp):
        super().__init__(protocol)
        self.tcp = tcp

    def victim(self):
        self.program.victim_question(self.tcp)


class Reload(Serving):
    """SIGHUP, with a new address and a new upstream every other time: all of it, or a word."""

    some, some_memory = 1, 10
    told = re.compile(r"configuration reloaded|reload failed|lines dropped")
    other = "127.0.0.9"

    def renew(self):
        self.more = False
        super().renew()

    def reload(self):
        """Until it says how that went; one of the lines may be what was lost."""
        d = self.program
        begun = len(d.text())
        d.child.send_signal(signal.SIGHUP)
        wait_until(lambda: self.told.search(d.text(), begun) or d.check_alive(), 10,
                   what="a word about the reload")
        return d.text()[begun:]

    def victim(self):
        d = self.program
        self.more = not self.more
        d.upstream = self.upstream.entry(name=f"u{self.more}")
        d.write(*[self.other] * self.more)
        self.reload()
        d.victim_question(False)  # the worker has heard of it by then

    def after(self):
        d = self.program
        d.good_question()
        said = self.reload()
        if "configuration reloaded" not in said:
            raise Broken(f"a later reload fails:\n{said}")
        for tcp in (False, True):
            d.good_question(tcp)
            if self.more:
                d.good_question(tcp, self.other)
        sockets = 2 * self.more
        if not d.quiet(self.baseline + sockets, 10):
            raise Broken(f"{d.descriptors() - self.baseline - sockets} descriptors too many")


class Crowd(Scenario):
    """Forty TCP clients come and ask: each is answered or turned away, none is left waiting."""

    by_place = True
    some, some_memory, clients = 1, 8, 40

    def play(self, kind, n, error):
        d = self.program
        d.kill()
        d.begin()
        d.arm(kind, n, error)
        try:
            clients = [self.connect() for _ in range(self.clients)]
            for number, client in enumerate(clients):
                if client and not self.is_served(client):
                    raise Broken(f"client {number} is neither answered nor closed")
            d.control.disarm()
            d.good_question()
            d.good_question(tcp=True)
            d.stop()
        finally:
            d.control.disarm()
            d.kill()

    def connect(self):
        try:
            return self.program_connect()
        except OSError:
            return None

    def program_connect(self):
        return socket.create_connection(("127.0.0.1", 53), victim.DEADLINE)

    def is_served(self, client):
        query = harness.dns.message.make_query(self.program.fresh_name(), "A")
        with client:
            try:
                harness.send_frame(client, query.to_wire())
                harness.read_frame(client)
                return True
            except TimeoutError:
                return False
            except OSError:
                return True


# ---- its end ----

class Stop(Scenario):
    """SIGTERM, with a client connected: exit code 0, soon."""

    some, some_memory = 1, 6

    def play(self, kind, n, error):
        d = self.program
        d.kill()
        d.begin()
        d.good_question()
        with d_connect() as client:
            harness.send_frame(client, harness.dns.message.make_query("localhost", "A").to_wire())
            harness.read_frame(client)
            d.arm(kind, n, error)
            try:
                d.stop()
            finally:
                d.control.disarm()
                d.kill()


def d_connect():
    return socket.create_connection(("127.0.0.1", 53), 6)


# ---- what does not go away ----

class Lasting(Serving):
    """All calls of one kind fail for a while: no busy loop, and all is well afterwards."""

    kinds = LASTING
    some = some_memory = 1

    def play(self, kind, n, error):
        d = self.program
        d.arm(kind, n and 1, error, FOR_EVER)
        try:
            clients = [self.ask_and_go(tcp) for tcp in (False, True, False)]
            before = d.control.calls
            time.sleep(0.5)  # the time in which it might spin, not one to wait
            spent = d.control.calls - before
            for client in clients:
                client.close()
        finally:
            d.control.disarm()
        if spent > CALLS_MOST:
            raise Broken(f"{spent} system calls in half a second")
        self.after()
        self.program.good_question(tcp=True)

    def ask_and_go(self, tcp):
        wire = harness.dns.message.make_query(self.program.fresh_name(), "A").to_wire()
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        client.settimeout(1)
        client.connect(("127.0.0.1", 53))
        client.sendall(len(wire).to_bytes(2, "big") + wire if tcp else wire)
        return client


# ---- the library without the daemon ----

class Lookup(Scenario):
    """privydns, which is the library's privy_client: an answer or a reason."""

    by_place = True
    def renew(self):
        if self.program:
            self.program.kill()
        self.program = Victim(self.dir, self.shim)

    def play(self, kind, n, error):
        p = self.program
        p.forget_leaks(kind)
        p.arm(kind, n, error)
        try:
            p.run(harness.PRIVYDNS, "--ca-file", self.upstream.ca_file, "-u", self.upstream.url,
                  "--short", "www.example")
            code, text = p.wait(10), p.text()
        finally:
            p.control.disarm()
            p.kill()
        if code == 0 and text.split() != ["192.0.2.10"] and not p.control.failed:
            raise Broken(f"a wrong answer:\n{text}")
        if code not in (0, 2, 3) or not text.strip():
            raise Broken(f"exit code {code}:\n{text}")
        if code and not p.control.failed:
            raise Broken(f"exit code {code} without any reason:\n{text}")


ALL = {
    **{f"query-{p}-{c}": lambda p=p, c=c: Query(p, c == "tcp")
       for p in PROTOCOLS for c in ("udp", "tcp")},
    **{f"start-{p}": lambda p=p: Start(p) for p in ("dot", "udp")},
    **{f"lookup-{p}": lambda p=p: Lookup(p) for p in PROTOCOLS},
    "reload": lambda: Reload("dot-resumed"),
    "crowd": Crowd,
    "stop": lambda: Stop("tcp"),
    "lasting-udp": lambda: Lasting("udp"),
    "lasting-dot": lambda: Lasting("dot-resumed"),
}

SHORT = ("query-dot-tcp", "query-dot-resumed-udp", "query-doh-udp", "query-dnscrypt-udp",
         "query-udp-cut-tcp", "start-dot", "lookup-dot", "reload", "crowd", "stop", "lasting-udp")
