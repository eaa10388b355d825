"""Connections of the scripted upstream: each octet on the wire is ours to choose."""
import selectors
import socket
import ssl
import struct
import time

import answers
import deeds
from hello import Hello

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Talk:
    """What a test's function has beside frame() and the ends."""

    is_certificate = False  # asked for: that is not a query

    def later(self, seconds, action):
        self.upstream.later(seconds, action)

    def reply(self, query, address=None, ttl=60):
        """The right reply to a query, to be sent, or spoiled and sent."""
        reply = answers.Reply(query, ttl)
        if address and reply.rdtype == answers.A:
            reply.answer = [answers.record(answers.A, ttl, socket.inet_aton(address))]
        return bytearray(bytes(reply))

    def answer(self, query, **options):
        self.frame(self.reply(query, **options))


class Conn(Talk):
    """A connection: TLS in memory, so that each octet on the wire is ours to choose. What it
    carries is the protocol's to say: a class in a file of its own, which sets what is in capitals
    here."""

    transport, is_datagram = "tcp", False
    NAME = ""         # in scenarios
    PORT = 0
    ALPN = None       # None: no TLS
    DATAGRAM = None   # a query over UDP; None: nobody listens there
    STATE = None      # what a server has beside connections: made of an upstream, with counts() and
                      # honest(), which takes back what deeds did
    PLAINTEXT = False
    URL = ""          # as the configuration has it, of an {address} and the {name} in a certificate

    @classmethod
    def entry(cls, upstream, name, ca_file):
        """What the configuration says of an upstream."""
        entry = {"url": cls.URL.format(address=upstream.address, name=name)}
        return {**entry, "ca_file": str(ca_file)} if cls.ALPN else entry

    def __init__(self, upstream, plain, number):
        self.upstream, self.socket, self.number = upstream, plain, number
        self.turn = upstream.turn  # how often deeds had changed when it was accepted
        self.ready = False         # it may carry messages
        self.open, self.reading = True, True
        self.asked = self.answered = 0
        self.input, self.output = bytearray(), bytearray()
        self.closing = None        # what to do when all is written
        self.busy_at = time.monotonic()
        self.hello = Hello()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = upstream.context and upstream.context.wrap_bio(
            self.incoming, self.outgoing, server_side=True)
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __str__(self):
        return f"connection {self.number}"

    @property
    def connection(self):
        return self

    def way(self, query):
        return deeds.Way(self, query)

    def greet(self, doing):
        """What is said before anything else, as the deeds want it."""

    def touch(self):
        self.busy_at = time.monotonic()

    # ---- in ----

    def readable(self):
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.gone()
            return
        self.touch()
        if self.tls is None:
            self.begin()
            self.take(data)
            return
        self.incoming.write(data)
        if self.hello.feed(data):
            self.upstream.greeted(self.hello)
        try:
            self.handshake()
            while self.ready and self.open:
                data = self.tls.read(1 << 16)
                if not data:
                    break
                self.take(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.flush()  # the alert
            self.gone()
            return
        self.flush()

    def handshake(self):
        if not self.ready:
            self.tls.do_handshake()
            self.begin()

    def begin(self):
        if not self.ready:
            self.ready = True
            self.upstream.ready(self)

    def take(self, data):
        """What came, without TLS: upstream.received(self, query) for each query in it."""
        raise NotImplementedError

    def read_on(self, on):
        """Reads, or leaves what comes in the kernel."""
        self.reading = on
        self.watch()

    # ---- out ----

    def send(self, octets):
        """These octets inside TLS, as records of their own."""
        if not self.open or not octets:
            return
        try:
            for at in range(0, len(octets), 1 << 14):
                if self.tls is None:
                    self.output += octets[at:at + (1 << 14)]
                else:
                    self.tls.write(octets[at:at + (1 << 14)])
        except ssl.SSLError:
            self.gone()
            return
        self.upstream.dirty.add(self)

    def raw(self, octets):
        """These octets beside TLS."""
        self.output += octets
        self.upstream.dirty.add(self)

    def flush(self):
        if not self.open:
            return
        if self.tls is not None:
            self.output += self.outgoing.read()
        try:
            while self.output:
                del self.output[:self.socket.send(self.output)]
        except BlockingIOError:
            pass
        except OSError:
            self.gone()
            return
        if not self.output and self.closing:
            closing, self.closing = self.closing, None
            closing()
        self.watch()

    def watch(self):
        if self.open:
            self.upstream.watch(self, self.reading * READ | bool(self.output) * WRITE)

    # ---- ends ----

    def gone(self):
        if self.open:
            self.open = False
            self.upstream.forget(self)
            self.socket.close()

    def close(self):
        """Says goodbye as TLS wants it, after what is written."""
        self.finish(self.gone)

    def finish(self, closing):
        if self.open and self.tls is not None and self.ready:
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass
        self.closing = closing
        self.upstream.dirty.add(self)

    def cut(self):
        """FIN without goodbye, after what is written."""
        self.closing = self.gone
        self.upstream.dirty.add(self)

    def reset(self):
        """RST, at once."""
        if self.open:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.gone()

    def half_close(self):
        """No more from us; we still read."""
        def closing():
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        self.finish(closing)


class Framed(Conn):
    """DNS messages, each behind its length [RFC 7766 §8]."""

    def take(self, data):
        self.input += data
        at = 0
        while self.open and len(self.input) >= at + 2:
            end = at + 2 + int.from_bytes(self.input[at:at + 2], "big")
            if len(self.input) < end:
                break
            message = bytes(self.input[at + 2:end])
            at = end
            self.asked += 1
            self.came(message)
        del self.input[:at]

    def came(self, message):
        self.upstream.received(self, message)

    def frame(self, message):
        message = bytes(message)
        self.send(len(message).to_bytes(2, "big") + message)
        self.answered += 1
        self.touch()
