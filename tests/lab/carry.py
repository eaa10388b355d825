"""Deeds on how replies travel: time and order, frames, connections."""
import random
import time

from deeds import deed
from scenario import TIME, seconds


# ---- time and order ----

@deed(rf"delay (?P<least>{TIME})(?: to (?P<most>{TIME}))?")
def delay(least, most):
    def act(way):
        way.delay += random.uniform(seconds(least), seconds(most)) if most else seconds(least)
    return act


@deed(r"silence")
def silence():
    def act(way):
        way.go = lambda: None
    return act


class Turns:
    """Answers one query of each connection at a time: the next waits until it is answered."""

    def __init__(self):
        self.waiting = {}

    def add(self, way):
        queue = self.waiting.setdefault(way.conn.connection, [])
        queue.append(way)
        if len(queue) == 1:
            self.begin(queue)

    def begin(self, queue):
        queue[0].conn.upstream.later(queue[0].delay, lambda: self.next(queue))

    def next(self, queue):
        queue.pop(0).send()
        if queue:
            self.begin(queue)


@deed(r"one at a time")
def one_at_a_time():
    turns = Turns()

    def act(way):
        way.gather = turns
    return act


@deed(r"twice")
def twice():
    def act(way):
        way.times = 2
    return act


class Gathering:
    """Holds so many answers, then gives them all at once; after 50 ms what there is."""

    def __init__(self, count, shuffled):
        self.count, self.shuffled, self.held = count, shuffled, []

    def add(self, way):
        self.held.append(way)
        if len(self.held) >= self.count:
            self.release()
        elif len(self.held) == 1:
            held = self.held
            way.conn.upstream.later(0.05, lambda: held is self.held and self.release())

    def release(self):
        held, self.held = self.held, []
        if self.shuffled:
            random.shuffle(held)
        frames = {}
        for way in held:
            frames.setdefault(way.conn.connection, []).append(way.frame())
        for conn, parts in frames.items():
            conn.send(b"".join(parts))


@deed(r"(?P<how>shuffle|join) (?P<count>\d+)")
def gather(how, count):
    gathering = Gathering(int(count), how == "shuffle")

    def act(way):
        way.gather = gathering
    return act


# ---- the frame ----

@deed(rf"drip 1 octet every (?P<pause>{TIME})")
def drip(pause):
    def act(way):
        way.pieces = lambda frame: ((seconds(pause), bytes([octet])) for octet in frame)
    return act


@deed(r"split into (?P<count>\d+)")
def split(count):
    """One answer in so many records."""
    def act(way):
        def pieces(frame):
            size = max(1, len(frame) // int(count))
            for at in range(0, len(frame), size):
                yield 0, frame[at:at + size]
        way.pieces = pieces
    return act


@deed(r"half answer")
def half_answer():
    """Half of a frame; what follows on this connection is out of step."""
    def act(way):
        way.pieces = lambda frame: [(0, frame[:len(frame) // 2])]
    return act


@deed(r"noise")
def noise():
    """No frames, but another protocol's text."""
    def act(way):
        way.go = lambda: way.conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
    return act


@deed(r"length (?P<length>\d+)")
def false_length(length):
    """So much in the frame's head; of a message only so much."""
    def act(way):
        way.length = int(length)
        way.octets = way.message()[:way.length]
    return act


# ---- the connection ----

@deed(r"(?P<how>close|cut|reset|half-close) on each query")
def end_on_query(how):
    """Instead of an answer: goodbye, FIN without it, RST, or no more from here."""
    def act(way):
        way.go = getattr(way.conn, how.replace("-", "_"))
    return act


@deed(r"(?P<how>close|cut|reset) on query (?P<number>\d+) of each connection")
def end_on_nth_query(how, number):
    """Instead of an answer to that one."""
    def act(way):
        if way.conn.asked >= int(number):
            way.go = getattr(way.conn, how)
    return act


@deed(r"then (?P<how>close|cut|reset|half-close)")
def end_after_answer(how):
    def act(way):
        way.then = lambda conn: getattr(conn, how.replace("-", "_"))()
    return act


@deed(r"close after (?P<count>\d+)")
def close_after(count):
    def act(way):
        if way.conn.asked >= int(count):
            way.then = lambda conn: conn.close()
    return act


@deed(rf"close when idle (?P<limit>{TIME})", "ready")
def close_when_idle(limit):
    def watch(conn):
        left = conn.busy_at + seconds(limit) - time.monotonic()
        if not conn.open:
            return
        if left <= 0:
            conn.close()
        else:
            conn.upstream.later(left, lambda: watch(conn))
    return watch


@deed(r"refuse", "turn")
def refuse():
    """Nobody listens."""
    return lambda upstream: upstream.refuse()


@deed(r"refuse tcp", "turn")
def refuse_tcp():
    """Nobody listens for connections; datagrams come."""
    return lambda upstream: upstream.refuse_tcp()


@deed(r"no room", "turn")
def no_room():
    """Nobody accepts, and the kernel drops who asks: connecting hangs."""
    return lambda upstream: upstream.fill()


@deed(r"refuse tickets", "turn")
def refuse_tickets():
    """Gives some, knows none."""
    def act(upstream):
        upstream.forgetful = True
    return act


@deed(r"(?P<how>cut|reset) on accept", "accept")
def end_on_accept(how):
    return lambda conn: getattr(conn, how)()


@deed(r"no tls", "accept")
def no_tls():
    """Accepts and stays silent."""
    return lambda conn: conn.read_on(False)


@deed(r"(?P<how>close|cut|reset) after handshake", "ready")
def end_after_handshake(how):
    return lambda conn: getattr(conn, how)()


@deed(r"never read", "ready")
def never_read():
    return lambda conn: conn.read_on(False)


STRAY = b"\x40\x00" + b"\0\0\x81\x80" + bytes(0x4000 - 4)  # a frame of 16 KiB


@deed(r"flood (?P<rate>\d+)MiB/s", "ready")
def flood(rate):
    """Messages that nobody asked for, as fast as they are read, up to this rate."""
    def pour(conn):
        if not conn.open:
            return
        if len(conn.output) < 1 << 20:
            for _ in range(max(1, int(rate) * 64 // 100)):
                conn.send(STRAY)
        conn.upstream.later(0.01, lambda: pour(conn))
    return pour
