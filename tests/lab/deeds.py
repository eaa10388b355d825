"""What the scripted upstream can do, as a scenario writes it:

    honest | delay 20ms and wrong id for 1% | half answer on old connections

Deeds are joined by `and`; each changes the Way in which a query is answered, or what happens to a
connection. README.md lists them; a new one is a function with its words, in spoil.py (messages) or
carry.py (time, frames, connections).
"""
import random
import re

import answers

DEEDS = []


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
        (r" on (certificates)$", "certificates"), (r" over (udp|tcp)$", "transport"),
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
        if query is not None and conn.is_certificate != ("certificates" in self.only):
            return False
        if self.only.get("transport", conn.transport) != conn.transport:
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
        upstream.context = upstream.first_context
        if upstream.own:
            upstream.own.honest()
        upstream.heal()
        for conn in upstream.conns:
            conn.read_on(True)

    def accepted(self, conn):
        for each in self.stage("accept"):
            if conn.open and each.applies(conn):
                each.act(conn)

    def ready(self, conn):
        conn.greet(self)
        for each in self.stage("ready"):
            if conn.open and each.applies(conn):
                each.act(conn)

    def received(self, conn, query):
        way = conn.way(query)
        for each in self.deeds:
            if each.stage == "query" and each.applies(conn, query):
                each.act(way)
        way.go()
