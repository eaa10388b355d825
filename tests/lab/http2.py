"""The scripted upstream's HTTP/2 [RFC 9113; RFC 8484]: frames of its own, that can be wrong.

A connection takes requests; each is a Stream, to which a deed may do what it does to a connection.
"""
import base64
import struct
import time

import deeds
import hpack
from talk import Conn, Talk

(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE,
 CONTINUATION) = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
ERRORS = ("NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT "
          "STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR "
          "ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED").split()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9
LAST_ID = 0x7fffffff
TABLE, STREAMS, WINDOW, FRAME = 1, 3, 4, 5              # settings
OFFER = {TABLE: 4096, STREAMS: 100, WINDOW: 65535, FRAME: 16384}
SOON = 0.2  # what a client sends before it has read GOAWAY
DNS_MESSAGE = "application/dns-message"


def frame(kind, flags, stream, payload=b""):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


def error(name):
    return ERRORS.index(name).to_bytes(4, "big")


class Stream(Talk):
    """A request, and its response. What it does not have, its connection has."""

    def __init__(self, conn, number, fields):
        self.connection, self.stream, self.fields = conn, number, fields
        self.body = b""
        self.window = conn.windows
        self.responding, self.left = None, b""  # a response, and how much of its body is to come

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def __str__(self):
        return f"{self.connection}, stream {self.stream}"

    def query(self):
        """The DNS message in it."""
        fields = dict(self.fields)
        if fields[":method"] == "POST":
            return self.body
        text = fields[":path"].partition("dns=")[2]
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    def way(self, query):
        return HttpWay(self, query)

    def frame(self, message):
        """A right response, with any message."""
        way = HttpWay(self, self.query())
        way.octets = bytes(message)
        way.send()

    def put(self, kind, flags=0, payload=b""):
        self.connection.put(kind, flags, self.stream, payload)

    @property
    def open(self):
        return self.connection.open and self.connection.streams.get(self.stream) is self

    def end(self):
        """No more is said on it."""
        self.connection.streams.pop(self.stream, None)

    # ---- the body, as far as the windows go ----

    def respond(self, way):
        self.responding, self.left = way, way.body()
        self.connection.send(way.head())
        self.go_on()

    def go_on(self):
        way = self.responding
        while self.left and self.open:
            size = self.piece(len(self.left), way)
            if size <= 0:
                return
            last = size == len(self.left)
            self.connection.send(way.data(self.left[:size], last))
            self.left = self.left[size:]
        if way.answered():
            self.end()
        self.responding = None
        if way.then:
            way.then(self)

    def piece(self, size, way):
        size = min(size, way.piece, OFFER[FRAME] - way.overhead)
        if not way.heedless:
            size = min(size + way.overhead, self.window, self.connection.window) - way.overhead
        if size > 0:
            self.window -= size + way.overhead
            self.connection.window -= size + way.overhead
        return size


class HttpWay(deeds.Way):
    """How one request is answered."""

    def __init__(self, conn, query):
        super().__init__(conn, query)
        self.fields = {":status": "200", "content-type": DNS_MESSAGE}
        self.more_fields = b""   # as they are encoded
        self.payload = None      # in place of the message
        self.informational = 0
        self.trailers = None
        self.piece = OFFER[FRAME]
        self.padding = None      # octets in each DATA frame, all of it padding but for the body
        self.heedless = False    # of windows
        self.ends = True
        self.first = b""         # frames that go before

    @property
    def overhead(self):
        return 0 if self.padding is None else 1 + self.padding

    def body(self):
        return self.message() if self.payload is None else self.payload

    def head(self):
        """All that stands before the body."""
        fields = dict(self.fields)
        fields.setdefault("content-length", str(len(self.body())))
        block = hpack.encode((n, v) for n, v in fields.items() if v is not None) + self.more_fields
        once = frame(HEADERS, END_HEADERS, self.conn.stream, hpack.literal(":status", "103"))
        end = END_STREAM if not self.body() and self.ends and self.trailers is None else 0
        return self.first + once * self.informational + \
            block_frames(self.conn.stream, block, end)

    def data(self, octets, last):
        """A DATA frame, and behind the last one the trailers."""
        end = END_STREAM if last and self.ends and self.trailers is None else 0
        if self.padding is not None:
            octets = bytes([self.padding]) + octets + bytes(self.padding)
            end |= PADDED
        behind = b""
        if last and self.trailers is not None:
            behind = block_frames(self.conn.stream, hpack.encode(self.trailers), END_STREAM)
        return frame(DATA, end, self.conn.stream, octets) + behind

    def answered(self):
        """It is; True: the stream has ended."""
        self.conn.connection.answered += 1
        self.conn.connection.touch()
        return self.ends

    def frame(self):
        """All of it in one piece, whatever the windows say."""
        if self.answered():
            self.conn.end()
        body = self.body()
        return self.head() + (self.data(body, True) if body else b"")

    def send(self):
        if not self.conn.open:
            return  # nobody waits for it
        for message in self.before:
            self.conn.frame(message)
        if self.pieces:
            self.send_pieces(iter(self.pieces(self.frame())))
            return
        if self.times == 1:
            self.conn.respond(self)
            return
        self.conn.send(self.frame() * self.times)
        if self.then:
            self.then(self.conn)


def block_frames(stream, block, flags):
    """HEADERS, and CONTINUATION for what does not fit."""
    size = OFFER[FRAME]
    pieces = [block[at:at + size] for at in range(0, len(block), size)] or [b""]
    first, *others = pieces
    out = frame(HEADERS, flags | (0 if others else END_HEADERS), stream, first)
    for piece in others:
        last = piece is others[-1]
        out += frame(CONTINUATION, END_HEADERS if last else 0, stream, piece)
    return out


class Http2(Conn):
    """A connection, after TLS."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.decoder = hpack.Decoder()
        self.streams = {}                # those that have not ended, by number
        self.offer, self.told, self.agreed = None, 0, 0  # our settings: sent, acknowledged
        self.window = self.windows = 65535               # what we may send
        self.last = 0                    # the latest stream
        self.refused_from, self.refused_at = None, 0  # streams above are not looked at, since then
        self.block = None                # of fields, not complete: stream, flags, octets
        self.preface = PREFACE
        self.opens_windows = self.acks_pings = True

    # ---- out ----

    def put(self, kind, flags=0, stream=0, payload=b""):
        self.send(frame(kind, flags, stream, payload))

    def say_goaway(self, last, name, refused_from):
        self.put(GOAWAY, 0, 0, last.to_bytes(4, "big") + error(name))
        self.refused_from, self.refused_at = refused_from, time.monotonic()

    def greet(self, doing):
        """Says what it offers, where that has changed."""
        offer = dict(OFFER)
        self.opens_windows = self.acks_pings = True
        for each in doing.stage("settings"):
            if each.applies(self):
                each.act(self, offer)
        if offer == self.offer:
            return
        self.offer = offer
        self.told += 1
        self.put(SETTINGS, 0, 0, b"".join(struct.pack("!HI", *each) for each in offer.items()))

    # ---- in ----

    def take(self, data):
        self.input += data
        if self.preface:
            if len(self.input) < len(self.preface):
                return
            if not self.input.startswith(self.preface):
                raise ValueError(f"not HTTP/2: {bytes(self.input[:40])}")
            del self.input[:len(self.preface)]
            self.preface = b""
        while self.open and len(self.input) >= HEAD:
            end = HEAD + int.from_bytes(self.input[:3], "big")
            if len(self.input) < end:
                return
            kind, flags = self.input[3:5]
            stream = int.from_bytes(self.input[5:HEAD], "big")
            payload = bytes(self.input[HEAD:end])
            del self.input[:end]
            self.upstream.frames[kind] += not (kind in (SETTINGS, PING) and flags & ACK)
            if kind in self.TAKES:
                self.TAKES[kind](self, flags, stream, payload)

    def take_headers(self, flags, stream, payload):
        if flags & PADDED or flags & 0x20:
            raise ValueError("neither padding nor priorities are expected")
        self.block = [stream, flags, payload]
        if flags & END_HEADERS:
            self.take_block()

    def take_continuation(self, flags, stream, payload):
        del stream
        self.block[2] += payload
        if flags & END_HEADERS:
            self.take_block()

    def take_block(self):
        number, flags, octets = self.block
        self.block = None
        if number <= self.last:
            raise ValueError(f"stream {number} after {self.last}")
        self.last = number
        one = Stream(self, number, self.decoder.decode(octets))
        self.upstream.requests.append(one.fields)
        if self.refused_from is not None and number >= self.refused_from:
            self.upstream.late_streams += time.monotonic() > self.refused_at + SOON
            return
        self.streams[number] = one
        self.upstream.most_streams = max(self.upstream.most_streams, len(self.streams))
        if self.agreed == self.told and len(self.streams) > self.offer.get(STREAMS, LAST_ID):
            self.upstream.overruns += 1
        if flags & END_STREAM:
            self.asked_by(one)

    def take_data(self, flags, stream, payload):
        one = self.streams.get(stream)
        if one is None:
            return
        one.body += payload
        if payload and self.opens_windows:
            self.put(WINDOW_UPDATE, 0, 0, len(payload).to_bytes(4, "big"))
        if flags & END_STREAM:
            self.asked_by(one)

    def asked_by(self, one):
        self.asked += 1
        self.upstream.received(one, one.query())

    def take_settings(self, flags, stream, payload):
        del stream
        if flags & ACK:
            self.agreed += 1
            return
        for at in range(0, len(payload), 6):
            key, value = struct.unpack("!HI", payload[at:at + 6])
            if key == WINDOW:
                for one in self.streams.values():
                    one.window += value - self.windows
                self.windows = value
        self.put(SETTINGS, ACK)

    def take_ping(self, flags, stream, payload):
        del stream
        if not flags & ACK and self.acks_pings:
            self.put(PING, ACK, 0, payload)

    def take_window_update(self, flags, stream, payload):
        del flags
        more = int.from_bytes(payload, "big")
        if stream == 0:
            self.window += more
        elif stream in self.streams:
            self.streams[stream].window += more
        for one in list(self.streams.values()):
            if one.responding:
                one.go_on()

    def take_reset(self, flags, stream, payload):
        del flags, payload
        self.streams.pop(stream, None)

    TAKES = {HEADERS: take_headers, CONTINUATION: take_continuation, DATA: take_data,
             SETTINGS: take_settings, PING: take_ping, WINDOW_UPDATE: take_window_update,
             RST_STREAM: take_reset}
