"""The scripted upstream: a real TLS (or plain) peer that does whatever its deeds say.

In a scenario it runs as a process of its own, told what to do over a socket (remote.py):

    upstream  a dot delay 20ms and wrong id for 1%

In a test it runs in a thread and asks a function of the test:

    def answer(conn, query):
        conn.answer(query, address="192.0.2.10")    # or conn.frame(spoiled), conn.close() ...
    Upstream("127.0.0.2", certificate, answer).start()

One thread, no blocking call. talk.py has its connections, deeds.py, spoil.py and carry.py have what it
can do.
"""
import collections
import heapq
import itertools
import selectors
import socket
import ssl
import threading
import time

import answers
import carry  # noqa: F401  deeds
import deeds
import handshake  # noqa: F401  deeds
import spoil  # noqa: F401  deeds
from do53 import Do53
from dot import Dot
from talk import READ, WRITE, Conn

KEPT = 10000        # messages received, the last ones
LOAD = ".load.lab"  # names under this are a load's: only their sum is kept


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Upstream:
    """Listens and does its deeds. kind: a protocol; None: Dot, or without a certificate Do53."""

    def __init__(self, address, certificate=None, answer=None, port=None, prepare=None,
                 first_deeds="honest", kind=None):
        self.kind = kind or (Dot if certificate else Do53)
        self.address, self.port = address, port or self.kind.PORT
        self.answer = answer
        self.first_context = self.context = certificate and self.new_context(certificate)
        if prepare:
            prepare(self.context)
        self.accepted = self.handshakes = self.resumed = self.asked_in_all = self.most_open = 0
        self.names, self.server_names = collections.Counter(), collections.Counter()
        self.early_data = 0
        self.clients = []          # [name in the certificate, handshakes, resumed], in their order
        # Of HTTP/2: frames by kind, fields of requests, and what a client did.
        self.frames, self.requests = collections.Counter(), collections.deque(maxlen=KEPT)
        self.most_streams = self.overruns = self.late_streams = 0
        self.kept = collections.deque(maxlen=KEPT)
        self.conns, self.dirty, self.watched = set(), set(), {}
        self.deeds, self.turn = deeds.Deeds(first_deeds), 0
        self.timers, self.order = [], itertools.count()
        self.selector = selectors.DefaultSelector()
        self.listener = self.udp = self.thread = None
        self.full = []             # sockets that leave no room to connect
        self.certificate, self.forgetful = certificate, False
        self.calls, self.waker = collections.deque(), socket.socketpair()
        self.selector.register(self.waker[0], READ, self.woken)
        self.own = self.kind.STATE and self.kind.STATE(self)
        self.running = True

    def new_context(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.crt, certificate.key)
        context.set_alpn_protocols([self.kind.ALPN])
        return context

    # ---- life ----

    def start(self):
        self.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        """Ends the thread and all connections."""
        if self.running:
            self.call(self.end)
            self.thread.join()

    def end(self):
        self.running = False
        self.refuse()
        for conn in list(self.conns):
            conn.cut()

    def listen(self):
        if not self.listener:
            self.listener = self.bound(socket.SOCK_STREAM)
            self.listener.listen(1024)
            self.selector.register(self.listener, READ, self.accept)
        if self.kind.DATAGRAM and not self.udp:
            self.udp = self.bound(socket.SOCK_DGRAM)
            self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self.selector.register(self.udp, READ, self.datagrams)

    def bound(self, kind):
        bound = socket.socket(family_of(self.address), kind)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((self.address, self.port))
        bound.setblocking(False)
        return bound

    def refuse(self):
        """Nobody listens any more; connections stay."""
        self.refuse_tcp()
        if self.udp:
            self.selector.unregister(self.udp)
            self.udp.close()
        self.udp = None

    def refuse_tcp(self):
        """Connections are refused, those there are stay; datagrams come."""
        if self.listener:
            self.selector.unregister(self.listener)
            self.listener.close()
        self.listener = None

    def fill(self):
        """A listener that accepts nobody and has no room: the kernel drops each SYN. Datagrams come, and
        are not read."""
        self.refuse()
        listener = self.bound(socket.SOCK_STREAM)
        listener.listen(0)
        self.full = [listener]
        if self.kind.DATAGRAM:
            self.full.append(self.bound(socket.SOCK_DGRAM))
        for _ in range(3):
            guest = socket.socket(family_of(self.address), socket.SOCK_STREAM)
            guest.setblocking(False)
            guest.connect_ex((self.address, self.port))
            self.full.append(guest)

    def heal(self):
        """Listens as ever."""
        while self.full:
            self.full.pop().close()
        self.forgetful = False
        self.listen()

    def serve(self):
        """Until stop()."""
        while self.running:
            self.turn_once()
        for conn in list(self.conns):
            conn.gone()

    def turn_once(self):
        patience = max(0, self.timers[0][0] - time.monotonic()) if self.timers else None
        for key, events in self.selector.select(patience):
            if isinstance(key.data, Conn):
                if events & WRITE:
                    key.data.flush()
                if events & READ and key.data.open:
                    key.data.readable()
            elif key.fileobj.fileno() >= 0:  # one of this turn may have closed it
                key.data()
        self.run_timers()
        while self.dirty:
            self.dirty.pop().flush()

    # ---- timers, calls from other threads ----

    def later(self, seconds, action):
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.order), action))

    def run_timers(self):
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            heapq.heappop(self.timers)[2]()

    def call(self, action):
        """From another thread: does it in ours and returns its result."""
        done, result = threading.Event(), []

        def run():
            result.append(action())
            done.set()
        self.calls.append(run)
        self.waker[1].send(b".")
        if not done.wait(10):
            raise TimeoutError("the scripted upstream does not answer")
        return result[0]

    def woken(self):
        self.waker[0].recv(100)
        while self.calls:
            self.calls.popleft()()

    # ---- what the connections tell ----

    def watch(self, conn, events):
        if self.watched.get(conn, 0) == events:
            return
        if not self.watched.get(conn):
            self.selector.register(conn.socket, events, conn)
        elif events:
            self.selector.modify(conn.socket, events, conn)
        else:
            self.selector.unregister(conn.socket)
        self.watched[conn] = events

    def forget(self, conn):
        if self.watched.pop(conn, 0):
            self.selector.unregister(conn.socket)
        self.conns.discard(conn)
        self.dirty.discard(conn)

    def accept(self):
        if not self.listener:  # closed since this was told
            return
        try:
            plain, _ = self.listener.accept()
        except OSError:
            return
        self.accepted += 1
        if self.forgetful:
            self.context = self.new_context(self.certificate)
        conn = self.kind(self, plain, self.accepted)
        self.conns.add(conn)
        self.most_open = max(self.most_open, len(self.conns))
        conn.watch()
        self.deeds.accepted(conn)

    def greeted(self, hello):
        self.server_names[hello.server_name] += 1
        self.early_data += hello.offers_early_data

    def ready(self, conn):
        if conn.tls:
            self.shaken(bool(conn.tls.session_reused), conn.tls.getpeercert())
        self.deeds.ready(conn)

    def shaken(self, resumed, certificate):
        """Who it was, in runs of the same one."""
        self.handshakes += 1
        self.resumed += resumed
        names = dict(pair for part in (certificate or {}).get("subject", ()) for pair in part)
        name = names.get("commonName", "nobody")
        if not self.clients or self.clients[-1][0] != name:
            self.clients.append([name, 0, 0])
        self.clients[-1][1] += 1
        self.clients[-1][2] += resumed

    def datagrams(self):
        for _ in range(64 if self.udp else 0):
            try:
                octets, client = self.udp.recvfrom(1 << 16)
            except OSError:
                return
            self.kind.DATAGRAM(self, client).came(octets)

    def received(self, conn, query):
        self.asked_in_all += 1
        name = answers.name_text(query)
        if not name.endswith(LOAD):
            self.names[name] += 1
            self.kept.append(query)
        if self.answer:
            self.answer(conn, query)
        else:
            self.deeds.received(conn, query)

    # ---- for scenarios and tests ----

    def behave(self, text):
        """From another thread: from now on it does these deeds."""
        self.call(lambda: self.set_deeds(text))

    def disconnect(self):
        """From another thread: ends all connections there are."""
        self.call(lambda: [conn.cut() for conn in list(self.conns)])

    def set_deeds(self, text):
        """From now on it does these."""
        self.turn += 1
        self.deeds.end(self)
        self.deeds = deeds.Deeds(text)
        self.deeds.begin(self)

    def asked(self, name):
        """How many queries for this name came."""
        return self.names[name.lower().rstrip(".") or "."]

    def counts(self):
        return {"queries": self.asked_in_all, "connections": self.accepted,
                "handshakes": self.handshakes, "resumed": self.resumed, "open": len(self.conns),
                "most open": self.most_open, "names": dict(self.names),
                "clients": self.clients, "early data": self.early_data,
                "server names": dict(self.server_names),
                "most streams": self.most_streams, "overruns": self.overruns,
                "late streams": self.late_streams, "pings": self.frames[6],
                "resets": self.frames[3], **(self.own.counts() if self.own else {})}
