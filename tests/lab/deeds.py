"""What the scripted upstream can do, as a scenario writes it:

    honest | delay 20ms and wrong id for 1% | half answer on old connections

Deeds are joined by `and`; each changes the Way in which a query is answered, or what happens to a
connection. README.md lists them; a new one is a function below with its words.
"""
import os
import random
import re
import time

import answers

TIME = r"(?:[\d.]+(?:us|ms|s|m))"
DEEDS = []
RECORD = len(answers.record(answers.A, 0, b""))


def seconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 0.001, "s": 1, "m": 60}[unit]


def deed(words, stage="query"):
    """The decorated function gets what the words' groups caught and returns the act."""
    def add(function):
        DEEDS.append((re.compile(words), stage, function))
        return function
    return add


class Way:
    """How one query is answered."""

    def __init__(self, conn, query):
        self.conn, self.query = conn, query
        self.reply = answers.Reply(query)
        self.octets = None    # the message, in place of the reply
        self.length = None    # in its frame, in place of the true one
        self.delay, self.times = 0, 1
        self.before = []      # messages that go first
        self.gather = None    # where it waits for others
        self.pieces = None    # cuts a frame: yields (pause, octets)
        self.then = None      # the connection's end

    def message(self):
        return bytes(self.reply) if self.octets is None else self.octets

    def frame(self):
        message = self.message()
        length = len(message) if self.length is None else self.length
        return length.to_bytes(2, "big") + message

    def go(self):
        if self.gather:
            self.gather.add(self)
        elif self.delay:
            self.conn.upstream.later(self.delay, self.send)
        else:
            self.send()

    def send(self):
        for message in self.before:
            self.conn.frame(message)
        if self.pieces:
            self.send_pieces(iter(self.pieces(self.frame())))
            return
        for _ in range(self.times):
            if self.length is None:
                self.conn.frame(self.message())
            else:
                self.conn.send(self.frame())
        if self.then:
            self.then(self.conn)

    def send_pieces(self, pieces):
        for pause, octets in pieces:
            self.conn.send(octets)
            self.conn.flush()
            if pause:
                self.conn.upstream.later(pause, lambda: self.send_pieces(pieces))
                return
        if self.then:
            self.then(self.conn)


class Deed:
    """An act, and to whom it is done."""

    MODIFIERS = [(re.compile(words), name) for words, name in (
        (r" on (old|new) connections$", "connections"), (r" for ([\d.]+)%$", "share"),
        (r" to the first (\d+)$", "first"), (r" from the (\d+)(?:th|st|nd|rd) on$", "after"),
        (r" for ((?!\d+%)\S+)$", "name"))]

    def __init__(self, text):
        self.text = text
        self.only = {}
        self.seen = 0
        self.turn = None
        while True:
            for pattern, name in self.MODIFIERS:
                found = pattern.search(text)
                if found and name not in self.only:
                    self.only[name] = found[1]
                    text = text[:found.start()]
                    break
            else:
                break
        for pattern, self.stage, function in DEEDS:
            found = pattern.fullmatch(text)
            if found:
                self.act = function(**found.groupdict())
                return
        raise ValueError(f"not a deed: {text}")

    def applies(self, conn, query=None):
        if "connections" in self.only and \
                (conn.turn < self.turn) != (self.only["connections"] == "old"):
            return False
        if query is not None and "name" in self.only and not self.named(query):
            return False
        if "share" in self.only and random.random() * 100 >= float(self.only["share"]):
            return False
        self.seen += 1
        if "after" in self.only and self.seen < int(self.only["after"]):
            return False
        return "first" not in self.only or self.seen <= int(self.only["first"])

    def named(self, query):
        wanted, name = self.only["name"], answers.name_text(query)
        return name.endswith(wanted[1:]) if wanted.startswith("*") else name == wanted


class Deeds:
    """All deeds of one upstream at a time."""

    def __init__(self, text="honest"):
        self.deeds = [Deed(part) for part in re.split(r" and ", text.strip()) if part != "honest"]

    def stage(self, name):
        return [each for each in self.deeds if each.stage == name]

    def begin(self, upstream):
        for each in self.deeds:
            each.turn = upstream.turn
        for each in self.stage("turn"):
            each.act(upstream)
        for conn in list(upstream.conns):
            if conn.ready:
                self.ready(conn)

    def end(self, upstream):
        """Takes back what lasts."""
        upstream.listen()
        for conn in upstream.conns:
            conn.read_on(True)

    def accepted(self, conn):
        for each in self.stage("accept"):
            if conn.open and each.applies(conn):
                each.act(conn)

    def ready(self, conn):
        for each in self.stage("ready"):
            if conn.open and each.applies(conn):
                each.act(conn)

    def received(self, conn, query):
        way = Way(conn, query)
        for each in self.deeds:
            if each.stage == "query" and each.applies(conn, query):
                each.act(way)
        way.go()


# ---- the message ----

@deed(r"rcode (?P<name>[A-Z]+)")
def rcode(name):
    number = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
              "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"].index(name)

    def act(way):
        way.reply.empty()
        way.reply.rcode = number
        if name == "NXDOMAIN":
            way.reply.authority.append(answers.soa(60, 60))
    return act


@deed(r"wrong id")
def wrong_id():
    def act(way):
        way.reply.id = bytes([way.query[0] ^ 0x55, way.query[1]])
    return act


@deed(r"a stray before each")
def stray():
    """An answer with an id that nobody waits for, then the right one."""
    def act(way):
        other = answers.Reply(way.query)
        other.id = bytes([way.query[0] ^ 0x55, way.query[1]])
        other.answer = [answers.record(answers.A, 60, b"\xc0\0\2\x42")]
        way.before = [bytes(other)]
    return act


@deed(r"wrong name")
def wrong_name():
    """Another letter in the first label; an address that nobody has."""
    def act(way):
        question = way.reply.question
        way.reply.question = question[:1] + bytes([question[1] ^ 1]) + question[2:]
    return act


@deed(r"wrong (?P<what>type|class)")
def wrong_type(what):
    def act(way):
        question = bytearray(way.reply.question)
        question[-3 if what == "type" else -1] ^= 0x1f
        way.reply.question = bytes(question)
    return act


@deed(r"(?P<how>lower|upper) case")
def other_case(how):
    def act(way):
        question = way.reply.question
        name = question[:-4]
        way.reply.question = (name.lower() if how == "lower" else upper(name)) + question[-4:]
    return act


def upper(name):
    out, at = bytearray(name), 0
    while name[at]:
        out[at + 1:at + 1 + name[at]] = name[at + 1:at + 1 + name[at]].upper()
        at += name[at] + 1
    return bytes(out)


@deed(r"tc")
def tc():
    def act(way):
        way.reply.empty()
        way.reply.flags |= 0x0200
    return act


@deed(r"sized")
def sized():
    """A message of so many octets, without OPT, as the name's first label says: one TXT record."""
    def act(way):
        label = answers.name_text(way.query).split(".", maxsplit=1)[0]
        if label.isdigit():
            left = int(label) - answers.HEADER - len(way.reply.question) - RECORD
            strings = [255] * ((left - 1) // 256) + [(left - 1) % 256]
            way.reply.answer = [answers.record(answers.TXT, 60, b"".join(
                bytes([size]) + b"x" * size for size in strings))]
    return act


@deed(r"garbage(?: (?P<size>\d+))?")
def garbage(size):
    """Random octets behind the right id."""
    def act(way):
        way.octets = way.query[:2] + os.urandom(int(size or 60))
    return act


# ---- time and order ----

@deed(rf"delay (?P<time>{TIME})(?: to (?P<most>{TIME}))?")
def delay(time, most):
    def act(way):
        way.delay += random.uniform(seconds(time), seconds(most)) if most else seconds(time)
    return act


def nothing(_):
    """The act of silence."""


@deed(r"silence")
def silence():
    def act(way):
        way.go = lambda: None
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
            frames.setdefault(way.conn, []).append(way.frame())
        for conn, parts in frames.items():
            conn.send(b"".join(parts))


@deed(r"(?P<how>shuffle|join) (?P<count>\d+)")
def gather(how, count):
    gathering = Gathering(int(count), how == "shuffle")

    def act(way):
        way.gather = gathering
    return act


# ---- the frame ----

@deed(rf"drip 1 octet every (?P<time>{TIME})")
def drip(time):
    def act(way):
        way.pieces = lambda frame: ((seconds(time), bytes([octet])) for octet in frame)
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


@deed(rf"close when idle (?P<time>{TIME})", "ready")
def close_when_idle(time):
    def watch(conn):
        left = conn.busy_at + seconds(time) - time.monotonic()
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
