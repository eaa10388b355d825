"""Deeds on HTTP responses: their status, fields and body."""
import os

import hpack
from deeds import deed


@deed(r"status (?P<number>\d{3})(?: retry after (?P<after>\d+))?")
def status(number, after):
    """Without a DNS message; a redirect points to another server."""
    def act(way):
        way.fields = {":status": number, "content-type": "text/html"}
        way.payload = b"<title>" + number.encode() + b"</title>"
        if after:
            way.fields["retry-after"] = after
        if number.startswith("3"):
            way.fields["location"] = "https://127.0.0.66/dns-query"
    return act


@deed(r"field (?P<name>[a-z-]+): (?P<value>.+)")
def field(name, value):
    """One more, or this one in place of the right one."""
    def act(way):
        way.fields[name] = value
    return act


@deed(r"no (?P<name>content-type|content-length)")
def no_field(name):
    def act(way):
        way.fields[name] = None
    return act


@deed(r"body of (?P<size>\d+)(?P<zeroes> zeroes)?")
def body(size, zeroes):
    """So many octets in place of the message, at random."""
    def act(way):
        way.payload = bytes(int(size)) if zeroes else os.urandom(int(size))
    return act


@deed(r"compressed")
def compressed():
    """As if it were."""
    def act(way):
        way.fields["content-encoding"] = "gzip"
        way.payload = b"\x1f\x8b" + way.message()[2:]
    return act


@deed(r"(?P<count>\d+) times 103")
def informational(count):
    def act(way):
        way.informational = int(count)
    return act


@deed(r"trailers(?: (?P<status>with a status))?")
def trailers(status):
    def act(way):
        way.trailers = [("grpc-status", "0"), ("age", "100000")]
        if status:
            way.trailers = [(":status", "500")]
    return act


@deed(r"(?P<count>\d+) fields(?: of (?P<size>\d+))?")
def many_fields(count, size):
    def act(way):
        way.more_fields += b"".join(hpack.literal(f"x-{i}", "v" * int(size or 1))
                                    for i in range(int(count)))
    return act


@deed(r"bomb of (?P<count>\d+) references to (?P<size>\d+) octets")
def bomb(count, size):
    """One field goes into the table, then each octet stands for it again."""
    def act(way):
        way.more_fields += hpack.literal("x", "v" * int(size), 0x40) + \
            hpack.indexed(hpack.FIRST_DYNAMIC) * int(count)
    return act


@deed(r"forbidden field (?P<name>\S+)")
def forbidden(name):
    """Not fit for HTTP/2 [RFC 9113 §8.2]."""
    def act(way):
        way.more_fields += hpack.literal(name, "x")
    return act


@deed(r"body in pieces of (?P<size>\d+)(?: with (?P<padding>\d+) of padding)?")
def pieces(size, padding):
    def act(way):
        way.piece = int(size)
        way.padding = padding and int(padding)
    return act


@deed(r"no end")
def no_end():
    """All of it but the flag that says so."""
    def act(way):
        way.ends = False
    return act


@deed(r"whatever the windows say")
def heedless():
    def act(way):
        way.heedless = True
    return act
