"""DNSCrypt v2: a server with certificates, which opens what is sealed for them, over UDP and TCP.

It is as strict as the strictest of real ones: what is padded or sealed in any other way than the
protocol has it gets no answer, and neither does a nonce that was seen before.

    expect certificates a <= 3               so often its certificates were asked for
    expect datagrams a > 90, over tcp a 0    queries that it could open
    expect repeated nonces a 0, badly padded a 0, unopened a 0      what it could not answer
    expect ports a >= 4, keys a 1            of those who asked; each key from one address only
"""
import collections

import answers
import deeds
import dnscrypt_deeds  # noqa: F401  deeds
from checks import COMPARED, Failed, check, compare
from do53 import Datagram
from provider import NAME, Provider
from sodium import (CALLS, HALF, QUERY_HEAD, QUERY_MAGIC, Box, padded, seal_reply, unpadded)
from talk import Framed, Talk

BLOCK, LEAST, MOST_PADDING = 64, 256, 256
QUESTION = answers.name_wire(NAME) + b"\0\x10\0\1"
SMALL = 512     # without EDNS


class State:
    """What a server has beside its connections."""

    def __init__(self, upstream):
        self.provider = Provider(upstream.address)
        self.boxes, self.nonces = {}, set()
        self.ports, self.keys = set(), collections.defaultdict(set)
        self.seen = collections.Counter()
        self.last_packet = b""         # the reply before this one
        self.known = {}                # (construction, secret) of what queries begin with
        self.shown = []
        self.honest()

    def honest(self):
        self.show(self.provider.certificates("good"))

    def show(self, certificates, forget=False):
        """From now on it has these; what is sealed for older ones it opens until it forgets."""
        self.shown = certificates
        if forget:
            self.known, self.boxes = {}, {}
        for each in certificates:
            if each.es in CALLS:
                self.known[each.for_queries] = each.es, each.secret_of()

    def box(self, magic, public):
        if (magic, public) not in self.boxes:
            construction, secret = self.known[magic]
            self.boxes[magic, public] = Box(construction, public, secret)
        return self.boxes[magic, public]

    def counts(self):
        return {**{name: self.seen[name] for name in COUNTED}, "ports": len(self.ports),
                "keys": len(self.keys), "shared keys": [key.hex() for key, hosts in
                                                        self.keys.items() if len(hosts) > 1]}

    # ---- what comes ----

    def take(self, under, packet):
        """Of this connection, or datagram."""
        if packet[:QUERY_MAGIC] in self.known:
            self.open(under, packet)
        elif packet[answers.HEADER:].startswith(QUESTION):
            self.seen["certificates"] += 1
            under.upstream.deeds.received(Asking(under), packet)
        else:
            self.seen["unopened"] += 1

    def open(self, under, packet):
        magic, public = packet[:QUERY_MAGIC], packet[QUERY_MAGIC:QUERY_HEAD - HALF]
        half = packet[QUERY_HEAD - HALF:QUERY_HEAD]
        box = self.box(magic, public)
        text = box.open(packet[QUERY_HEAD:], half + bytes(HALF))
        message = text and unpadded(text)
        if (public, half) in self.nonces:
            self.seen["repeated nonces"] += 1
        elif not message:
            self.seen["unopened"] += 1
        elif not well_padded(text, message, under.is_datagram):
            self.seen["badly padded"] += 1
        else:
            self.seen["datagrams" if under.is_datagram else "over tcp"] += 1
            self.nonces.add((public, half))
            self.keys[public].add(under.client[0])
            self.ports.add(under.client)
            under.upstream.received(Sealed(under, box, half, len(text), message),
                                    message)


COUNTED = ("certificates", "datagrams", "over tcp", "repeated nonces", "badly padded", "unopened")


def well_padded(text, message, is_datagram):
    padding = len(text) - len(message)
    return len(text) % BLOCK == 0 and \
        (len(text) >= LEAST if is_datagram else padding <= MOST_PADDING)


class Part(Talk):
    """A query in a datagram or on a connection. What it does not have, that has."""

    def __init__(self, under):
        self.under = under

    def __getattr__(self, name):
        return getattr(self.under, name)


class Asking(Part):
    """For certificates, which are not sealed."""

    is_certificate = True

    def way(self, query):
        way = deeds.Way(self, query)
        shown = self.upstream.own.shown
        way.reply.answer = [answers.record(answers.TXT, 60, each.rdata()) for each in shown]
        if self.is_datagram and len(bytes(way.reply)) > size_of(query):
            way.reply.empty()
            way.reply.flags |= 0x0200
        return way


def size_of(query):
    """Of a reply in a datagram."""
    opt = query[answers.question_end(query):]
    return max(SMALL, int.from_bytes(opt[3:5], "big")) if opt[:3] == b"\0\0\x29" else SMALL


class Sealed(Part):
    """A query that was sealed, and so is its answer."""

    def __init__(self, under, box, half, size, query):
        super().__init__(under)
        self.box, self.half, self.size, self.query = box, half, size, query

    def way(self, query):
        return SealedWay(self, query)

    def frame(self, message):
        """Any message, sealed as it should be."""
        way = SealedWay(self, self.query)
        way.octets = bytes(message)
        way.send()


class SealedWay(deeds.Way):
    """How it is answered."""

    def __init__(self, conn, query):
        super().__init__(conn, query)
        self.forged = []              # packets that go before it
        self.pad = lambda octets: padded(octets, (len(octets) // BLOCK + 1) * BLOCK)
        self.spoil = lambda packet: packet
        self.half = conn.half

    def message(self):
        """Cut, if it is longer than what was asked for with."""
        message = super().message()
        if self.octets is None and self.conn.is_datagram and len(message) > self.conn.size:
            self.reply.empty()
            self.reply.flags |= 0x0200
            message = bytes(self.reply)
        return message

    def packet(self):
        own = self.conn.upstream.own
        packet = self.spoil(seal_reply(self.conn.box, self.half, self.pad(self.message())))
        own.last_packet = packet
        return packet

    def frame(self):
        packet = self.packet()
        length = len(packet) if self.length is None else self.length
        return length.to_bytes(2, "big") + packet[:length]

    def send(self):
        for octets in self.forged:
            self.conn.send(len(octets).to_bytes(2, "big") + octets)
        if self.pieces:
            self.send_pieces(iter(self.pieces(self.frame())))
            return
        for message in self.before:
            self.conn.frame(message)
        for _ in range(self.times):
            self.conn.send(self.frame())
        self.conn.under.answered += 1
        if self.then:
            self.then(self.conn)


class SealedDatagram(Datagram):
    """One that comes."""

    def came(self, octets):
        self.upstream.own.take(self, octets)


class Dnscrypt(Framed):
    """A connection."""

    NAME, PORT = "dnscrypt", 443
    DATAGRAM, STATE = SealedDatagram, State

    def __init__(self, upstream, plain, number):
        super().__init__(upstream, plain, number)
        self.client = plain.getpeername()

    @classmethod
    def entry(cls, upstream, name, ca_file):
        provider = Provider(upstream.address)
        return {"provider_name": provider.name, "provider_key": provider.signer.public.hex(),
                "addresses": [f"{upstream.address}:{cls.PORT}"]}

    def came(self, message):
        self.upstream.own.take(self, message)


# ---- checks ----

@check(rf"(?P<what>{'|'.join(COUNTED)}|ports|keys) (?P<name>[a-z]\S*)" + COMPARED)
def sealed_counted(lab, what, name, op, value):
    found = lab.upstreams[name].do("counts")
    compare(found[what], op, int(value))
    if what == "keys" and found["shared keys"]:
        raise Failed(f"of several addresses: {found['shared keys']}")
