"""Deeds on HTTP/2 frames: settings, ends of streams and connections, floods."""
import hpack
from deeds import deed
from http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ERRORS, FRAME, GOAWAY, HEADERS,
                   LAST_ID, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAMS, TABLE,
                   WINDOW, WINDOW_UPDATE, error, frame)

NAMES = "|".join(ERRORS)
SETTING = {"streams": STREAMS, "window": WINDOW, "frame size": FRAME, "table": TABLE, "push": 2}


# ---- settings ----

@deed(rf"(?P<name>{'|'.join(SETTING)}) (?P<value>\d+)", "settings")
def setting(name, value):
    def act(conn, offer):
        del conn
        offer[SETTING[name]] = int(value)
    return act


@deed(r"no window updates", "settings")
def no_window_updates():
    def act(conn, offer):
        del offer
        conn.opens_windows = False
    return act


@deed(r"no pong", "settings")
def no_pong():
    def act(conn, offer):
        del offer
        conn.acks_pings = False
    return act


# ---- streams ----

@deed(rf"reset (?P<name>{NAMES})")
def reset(name):
    """Instead of an answer."""
    def act(way):
        def go():
            way.conn.put(RST_STREAM, 0, error(name))
            way.conn.end()
        way.go = go
    return act


@deed(r"push")
def push():
    """A promise before the answer, though we said no."""
    def act(way):
        promised = (2).to_bytes(4, "big") + hpack.encode(way.conn.fields)
        way.first = frame(PUSH_PROMISE, END_HEADERS, way.conn.stream, promised)
    return act


@deed(r"body without head")
def body_without_head():
    def act(way):
        way.go = lambda: way.conn.put(DATA, END_STREAM, way.message())
    return act


# ---- GOAWAY ----

@deed(rf"goaway (?P<what>below|with|above|twice)(?: (?P<name>{NAMES}))?"
      r"(?: on query (?P<number>\d+) of each connection)?")
def goaway(what, name, number):
    """Below: this request is not looked at. With: it is, and no later one. Above: any may yet be;
    twice: first that, then with it."""
    def act(way):
        conn = way.conn.connection
        if number and conn.asked != int(number):
            return
        say_goaway(conn, way.conn.stream, what, name or "NO_ERROR")
        if what == "below":
            way.go = way.conn.end
    return act


def say_goaway(conn, stream, what, name):
    lasts = {"below": [max(0, stream - 2)], "with": [stream], "above": [LAST_ID],
             "twice": [LAST_ID, stream]}[what]
    for last in lasts:
        conn.say_goaway(last, name, stream if what == "below" else stream + 1)


@deed(rf"goaway after handshake(?: (?P<name>{NAMES}))?", "ready")
def goaway_at_once(name):
    return lambda conn: conn.say_goaway(0, name or "NO_ERROR", 0)


# ---- what is no HTTP/2 ----

@deed(r"speaks HTTP/1.1", "settings")
def speaks_http1():
    """Whatever was agreed on."""
    def act(conn, offer):
        offer.clear()
        conn.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
    return act


BROKEN = {
    "settings of 5 octets": frame(SETTINGS, 0, 0, bytes(5)),
    "settings on a stream": frame(SETTINGS, 0, 1, bytes(6)),
    "an acknowledgement with octets": frame(SETTINGS, ACK, 0, bytes(6)),
    "a frame of 16385 octets": frame(DATA, 0, 1, bytes(16385)),
    "a window of 2^31": frame(SETTINGS, 0, 0, b"\0\4\x80\0\0\0"),
    "a window that overflows": frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
    "a window opened by 0": frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    "frames of 2^24": frame(SETTINGS, 0, 0, b"\0\5\1\0\0\0"),
    "frames of 1": frame(SETTINGS, 0, 0, b"\0\5\0\0\0\1"),
    "push allowed": frame(SETTINGS, 0, 0, b"\0\2\0\0\0\1"),
    "a continuation of nothing": frame(CONTINUATION, END_HEADERS, 1, b"\x88"),
    "data on stream 0": frame(DATA, 0, 0, b"x"),
    "an answer to nothing": frame(HEADERS, END_HEADERS, 2 ** 30 + 1, b"\x88"),
    "a ping of 7 octets": frame(PING, 0, 0, bytes(7)),
    "an index that is not there": frame(HEADERS, END_HEADERS, 1, b"\xff\xff\x7f"),
    "a goaway of 4 octets": frame(GOAWAY, 0, 0, bytes(4)),
}


@deed(rf"(?P<what>{'|'.join(BROKEN).replace('^', chr(92) + '^')})(?P<more> with frames behind it)?")
def broken(what, more):
    """Instead of an answer. Behind it: of kinds that only few know, and some more of the same."""
    behind = b"".join((frame(10, 0, 0, b"\0\0h2=\":1\""), frame(16, 0, 0, b"\0\0\0\1u=1"),
                       frame(12, 0, 0, bytes(9)), frame(HEADERS, END_HEADERS, 1, b"\x88"),
                       frame(DATA, END_STREAM, 1, bytes(40)), frame(GOAWAY, 0, 0, bytes(8)))) * 3

    def act(way):
        way.go = lambda: way.conn.send(BROKEN[what] + (behind if more else b""))
    return act


# ---- floods ----

FLOODS = {
    "settings": frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64"),
    "large settings": frame(SETTINGS, 0, 0, b"\0\x99\0\0\0\0" * 2000),
    "pings": frame(PING, 0, 0, bytes(8)),
    "priorities": frame(PRIORITY, 0, 1, bytes(4) + b"\x10"),
    "window updates": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "unknown frames": frame(0xbe, 0, 0),
    "goaways": frame(GOAWAY, 0, 0, LAST_ID.to_bytes(4, "big") + bytes(4)),
    "acknowledgements": frame(PING, ACK, 0, bytes(8)),
}


def pour(conn, octets, begin=b""):
    """These octets over and over, as fast as they are read."""
    def more():
        if not conn.open:
            return
        if len(conn.output) < 1 << 20:
            conn.send(octets * max(1, (1 << 17) // len(octets)))
        conn.later(0.001, more)
    conn.send(begin)
    more()


@deed(rf"flood of (?P<what>{'|'.join(FLOODS)})", "ready")
def flood(what):
    return lambda conn: pour(conn, FLOODS[what])


@deed(r"flood of (?P<what>empty data|empty headers|103|continuations|resets)")
def flood_on_stream(what):
    """Instead of an answer, on the query's stream."""
    def act(way):
        stream = way.conn.stream
        head = frame(HEADERS, END_HEADERS, stream, b"\x88")
        octets, begin = {
            "empty data": (frame(DATA, 0, stream), head),
            "empty headers": (frame(HEADERS, END_HEADERS, stream), head),
            "103": (frame(HEADERS, END_HEADERS, stream, hpack.literal(":status", "103")), b""),
            "continuations": (frame(CONTINUATION, 0, stream, b"\x0f\x10\1x"),
                              frame(HEADERS, 0, stream, b"\x88")),
            "resets": (frame(RST_STREAM, 0, stream, error("CANCEL")), b""),
        }[what]
        way.go = lambda: pour(way.conn.connection, octets, begin)
    return act
