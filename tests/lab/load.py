"""Steady load over UDP: distinct names unless told otherwise; what became of each query, and when."""
import array
import select
import socket
import struct
import threading
import time

import answers

LOST = 255       # the rcode of a query without a reply
SOCKET_BUFFER = 1 << 23
EDE = 15         # an EDNS option
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


class Load(threading.Thread):
    """`total` queries, `rate` a second, or (rate 0) one after the other; `names`: so many distinct
    ones, asked in turn."""

    number = 0

    def __init__(self, address, rate, total, names=0, patience=5, begin=None):
        super().__init__(daemon=True)
        Load.number += 1
        self.target, self.rate = (address, 53), rate
        self.total, self.names, self.patience = total, names, patience
        self.suffix = answers.name_wire(f"n{Load.number}.load.lab")
        self.begin = begin
        self.sent = array.array("d")                           # when, on the scenario's clock
        self.latency = array.array("d", bytes(8 * self.total))
        self.rcodes = bytearray([LOST]) * self.total
        self.waiting = [-1] * 65536                            # which query has this id
        self.left = 0
        self.crossed, self.edes, self.strange = [], {}, 0
        self.error = None

    # ---- asking ----

    def name(self, number):
        label = b"q%d" % (number % self.names if self.names else number)
        return bytes([len(label)]) + label + self.suffix

    def ask(self, s, number, now):
        at = number & 0xffff
        s.send(struct.pack("!6H", at, 0x0100, 1, 0, 0, 1) + self.name(number) + b"\0\1\0\1" + OPT)
        self.left += self.waiting[at] < 0  # else the older one counts as lost
        self.waiting[at] = number
        self.sent.append(now - self.begin)

    def run(self):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
                s.connect(self.target)
                s.setblocking(False)
                self.drive(s)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error      # the scenario fails with it

    def due(self, start):
        """When the next query is to go."""
        sent = len(self.sent)
        if sent == self.total or not self.rate and self.left:
            return float("inf")
        return start + sent / self.rate if self.rate else 0

    def drive(self, s):
        start = time.monotonic()
        self.begin = self.begin or start
        end = start + (self.total / self.rate if self.rate else 0) + self.patience
        while len(self.sent) < self.total or self.left:
            now = time.monotonic()
            if now > end:
                break
            while self.due(start) <= now:
                self.ask(s, len(self.sent), now)
            due = min(end, self.due(start))
            if select.select([s], [], [], max(0, due - time.monotonic()))[0]:
                self.collect(s)
                end += 0 if self.rate else time.monotonic() - now

    # ---- replies ----

    def collect(self, s):
        while True:
            try:
                reply = s.recv(4096)
            except ConnectionRefusedError:
                continue  # nobody at the port: the query is lost
            except BlockingIOError:
                return
            self.take(reply)

    def take(self, reply):
        at = int.from_bytes(reply[:2], "big")
        number = self.waiting[at]
        if number < 0:
            self.strange += 1
            return
        name = self.name(number)
        if reply[12:12 + len(name)] != name:
            self.crossed.append(f"q{number}: {reply.hex()}")
            return
        self.waiting[at] = -1
        self.left -= 1
        self.latency[number] = time.monotonic() - self.begin - self.sent[number]
        self.rcodes[number] = rcode = reply[3] & 15
        if reply[6:8] != b"\0\0":
            after = 12 + len(name) + 4
            if not self.is_right(name, reply[after + 12:after + 16]):
                self.crossed.append(f"q{number}: {reply.hex()}")
        if rcode:
            self.count_ede(reply)

    @staticmethod
    def is_right(name, address):
        """Is it the scripted upstreams' answer?"""
        return address == answers.address_of(name)

    def count_ede(self, reply):
        """The Extended DNS Error of a failure without records: in the OPT behind the question."""
        at = reply.find(b"\0\0\x29", 12) + 11
        while 11 <= at <= len(reply) - 6:
            code, size, info = struct.unpack("!3H", reply[at:at + 6])
            if code == EDE:
                self.edes[info] = self.edes.get(info, 0) + 1
                return
            at += 4 + size

    # ---- results ----

    def between(self, first, last):
        """The queries sent from..to, on the scenario's clock."""
        return [n for n, at in enumerate(self.sent) if first <= at < last]


class Result:
    """Figures over one or several loads, within a span of the scenario's clock."""

    def __init__(self, loads, first=float("-inf"), last=float("inf")):
        found = [(load, load.between(first, last)) for load in loads]
        self.rcodes = [load.rcodes[n] for load, some in found for n in some]
        self.latencies = sorted(load.latency[n] for load, some in found for n in some
                                if load.rcodes[n] != LOST)
        self.total = len(self.rcodes)

    def count(self, rcode):
        return self.rcodes.count(rcode)

    def quantile(self, share):
        if not self.latencies:
            return float("inf")
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]
