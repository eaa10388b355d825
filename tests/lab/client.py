"""Raw clients of a scenario: they send any octets, in any pieces, and need not read.

    client slow tcp x50                     50 connections that do the same
        send 00 1d                          octets in hexadecimal, or `20 octets` of zeroes
        ask www.example A in pieces of 1 every 1s
        closed within 6s
    client other udp from 127.0.0.9
        ask www.example A qr -> nothing
        ask w{}.example A x100 -> NOERROR

Steps, one a line, in order; each holds for all connections of the client:

    ask QUERY [xN] [in one write | in pieces of N [every TIME] | at N/s] [-> EXPECTED]
        sends N queries (queries.py has their words) and, behind the arrow, awaits each reply
    send OCTETS [in pieces of N [every TIME]] [-> EXPECTED]
    answers [N]: EXPECTED       the replies to what was asked before, or N of them
    nothing for TIME            no reply, and a connection stays open
    open after TIME             the same, whatever comes
    closed within TIME          by the daemon
    stuck within TIME           it takes no more of what we send
    connect | urgent | half-close | reset | close | stop reading | read on | wait TIME
    stay                        the connections outlive the client

EXPECTED is a list of words on the reply (queries.py), `nothing`, or `closed`, and `within TIME`.
"""
import re
import resource
import selectors
import socket
import time

from links import PATIENCE, Asked, Link
from queries import Unexpected, check_reply, numbered
from scenario import seconds

SILENCE = 0.2       # what is awaited where there shall be nothing
CHECKED_WHOLE = 50  # replies of one step that are read in full; of others header and question


def octets(text):
    zeroes = re.fullmatch(r"(\d+) octets?", text)
    return bytes(int(zeroes[1])) if zeroes else bytes.fromhex(text)


def address_and_port(text, port):
    host, _, number = text.partition("]:" if "[" in text else ":")
    if ":" in text and "[" not in text and text.count(":") > 1:
        host, number = text, ""
    return host.strip("[]"), int(number or port)


class Client:
    """The links of one client line, and its steps."""

    def __init__(self, head, steps):
        words = re.fullmatch(r"(?P<name>\S+) (?P<kind>udp|tcp)(?: x(?P<count>\d+))?"
                             r"(?: from (?P<source>\S+))?(?: to (?P<target>\S+))?", head)
        if not words:
            raise ValueError(f"not a client: {head}")
        self.name, self.kind = words["name"], words["kind"]
        self.count = int(words["count"] or 1)
        self.source = words["source"] and address_and_port(words["source"], 0)
        self.target = words["target"]
        self.steps = [self.step(line) for line in steps]
        self.number = 0
        self.links = []
        self.staying = False

    def step(self, line):
        for pattern, method in STEPS:
            found = pattern.fullmatch(line)
            if found:
                return line, method, found.groupdict()
        raise ValueError(f"client {self.name}: not a step: {line}")

    def run(self, address, port=53):
        """Plays all steps against the daemon at this address; Unexpected where one fails."""
        have, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if have < self.count + 100:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        target = address_and_port(self.target, port) if self.target else (address, port)
        self.links = [Link(self.kind, target, self.source) for _ in range(self.count)]
        try:
            for line, method, words in self.steps:
                try:
                    method(self, **words)
                except (Unexpected, OSError) as error:
                    raise Unexpected(f"client {self.name}: {line}: {error}") from error
        finally:
            if not self.staying:
                self.close()

    @property
    def latency(self):
        return [one for link in self.links for one in link.asked.latency]

    # ---- moving octets ----

    def pump(self, done, patience):
        """Sends and receives on all links until `done` of each; False: not in time."""
        end = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            waiting = {link for link in self.links if not done(link)}
            while waiting:
                now = time.monotonic()
                if now > end:
                    return False
                for link in waiting:
                    self.turn(selector, link, now)
                for key, events in selector.select(0.005):
                    if events & selectors.EVENT_READ:
                        key.data.receive()
                    if events & selectors.EVENT_WRITE:
                        key.data.send_some(time.monotonic())
                for link in [link for link in waiting if link.ended or done(link)]:
                    waiting.discard(link)
                    if link.socket in selector.get_map():
                        selector.unregister(link.socket)
        return True

    @staticmethod
    def turn(selector, link, now):
        """Watches what the link waits for now."""
        link.connect()
        wanted = selectors.EVENT_READ * link.reading
        if link.may_send(now):
            wanted |= selectors.EVENT_WRITE
        known = selector.get_map().get(link.socket)
        if known and known.events != wanted:
            selector.unregister(link.socket)
            known = None
        if wanted and not known:
            selector.register(link.socket, wanted, link)

    def await_replies(self, expected, count=None):
        """All that was asked is answered as expected, or `count` replies are there."""
        patience = PATIENCE
        if expected and expected[-1].startswith("within "):
            *expected, last = expected
            patience = seconds(last[7:])
        if expected == ["nothing"]:
            self.nothing(SILENCE)
            return
        if expected == ["closed"]:
            self.closed(patience)
            return

        if not all(link.asked.count or link.asked.replies or link.out for link in self.links):
            raise ValueError("replies to what? Nothing was asked")

        def done(link):
            if count is not None:
                return len(link.asked.replies) >= count
            return not link.asked.count and not link.out
        in_time = self.pump(done, patience)
        for link in self.links:
            if not done(link):
                raise Unexpected(f"{link.asked.count} replies are missing, the connection "
                                 f"{link.ended or 'is open'}, in time: {in_time}")
            self.check(link, expected)

    @staticmethod
    def check(link, expected):
        for number, (one, reply) in enumerate(link.asked.replies):
            check_reply(one, reply, expected, whole=number < CHECKED_WHOLE)
        link.asked.replies = []

    # ---- the steps ----

    def ask(self, what, count=None, expected=None, **how):
        for link in self.links:
            link.connect()
            queries = numbered(what, self.number + 1, int(count or 1))
            self.number += len(queries)
            self.put(link, queries, **how)
        self.expect(expected)

    def put(self, link, queries, together=None, piece=None, every=None, rate=None):
        pause = seconds(every) if every else 1 / float(rate) if rate else 0
        if not link.tcp:
            link.send(queries, pause)
            return
        for one in queries:
            link.asked.add(one)
        frames = [len(q.octets).to_bytes(2, "big") + q.octets for q in queries]
        if together or piece:
            frames = [b"".join(frames)]
        link.send(cut(frames, piece), pause)

    def send(self, what, piece=None, every=None, expected=None):
        for link in self.links:
            link.connect()
            link.send(cut([octets(what)], piece), seconds(every) if every else 0)
        self.expect(expected)

    def expect(self, expected):
        if expected:
            self.await_replies(expected.split(", "))
        else:
            self.pump(lambda link: not link.may_send(time.monotonic()) or not link.reading, SILENCE)

    def answers(self, expected, count=None):
        self.await_replies(expected.split(", "), count and int(count))

    def nothing(self, period):
        period = seconds(period) if isinstance(period, str) else period
        before = [len(link.asked.replies) for link in self.links]
        self.still_open(period)
        if before != [len(link.asked.replies) for link in self.links]:
            raise Unexpected("a reply: " + self.links[0].asked.replies[-1][1].hex())
        for link in self.links:
            if not link.tcp:  # over TCP they may still come
                link.asked = Asked()

    def still_open(self, period):
        period = seconds(period) if isinstance(period, str) else period
        self.pump(lambda link: False, period)
        ended = sum(link.is_closed() for link in self.links if link.tcp)
        if ended:
            raise Unexpected(f"{ended} of {self.count} connections were closed")

    def closed(self, period):
        period = seconds(period) if isinstance(period, str) else period
        self.pump(Link.is_closed, period)
        left = sum(not link.is_closed() for link in self.links)
        if left:
            raise Unexpected(f"{left} of {self.count} connections are open after {period} s")

    def stuck(self, period):
        """Nothing of what waits to be sent has gone for 300 ms."""
        end = time.monotonic() + seconds(period)
        while True:
            before = [link.waiting() for link in self.links]
            self.pump(lambda link: False, 0.3)
            if all(link.out for link in self.links) and \
                    before == [link.waiting() for link in self.links]:
                return
            if time.monotonic() > end:
                raise Unexpected("the daemon goes on reading")

    def connect(self):
        for link in self.links:
            link.connect()

    def urgent(self):
        for link in self.links:
            link.connect()
            link.socket.send(b"!", socket.MSG_OOB)

    def half_close(self):
        for link in self.links:
            link.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        for link in self.links:
            link.close(reset=True)

    def close(self):
        for link in self.links:
            link.close()

    def stop_reading(self):
        for link in self.links:
            link.reading = False

    def read_on(self):
        for link in self.links:
            link.reading = True

    def stay(self):
        """The connections stay until the scenario ends."""
        self.staying = True

    def wait(self, period):
        time.sleep(seconds(period))


def cut(pieces, size):
    """The same octets in pieces of this size."""
    if not size:
        return pieces
    whole = b"".join(pieces)
    return [whole[at:at + int(size)] for at in range(0, len(whole), int(size))]


PIECES = r"(?: in pieces of (?P<piece>\d+)(?: every (?P<every>\S+))?)?"
ARROW = r"(?: +-> (?P<expected>.+))?"
STEPS = [(re.compile(pattern), method) for pattern, method in (
    (r"ask (?P<what>.+?)(?: x(?P<count>\d+))?(?P<together> in one write)?" + PIECES
     + r"(?: at (?P<rate>\d+)/s)?" + ARROW, Client.ask),
    (r"send (?P<what>[0-9a-f ]+|\d+ octets?)" + PIECES + ARROW, Client.send),
    (r"answers(?: (?P<count>\d+))?: (?P<expected>.+)", Client.answers),
    (r"nothing for (?P<period>\S+)", Client.nothing),
    (r"open after (?P<period>\S+)", Client.still_open),
    (r"closed within (?P<period>\S+)", Client.closed),
    (r"stuck within (?P<period>\S+)", Client.stuck),
    (r"wait (?P<period>\S+)", Client.wait),
    (r"stay", Client.stay), (r"connect", Client.connect), (r"urgent", Client.urgent),
    (r"half-close", Client.half_close), (r"reset", Client.reset), (r"close", Client.close),
    (r"stop reading", Client.stop_reading), (r"read on", Client.read_on))]
