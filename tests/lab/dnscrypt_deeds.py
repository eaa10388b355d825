"""Deeds of a DNSCrypt server: its certificates, and sealed answers that are wrong.

    shows expired + 50 x es 3 serial 9 + serial 2 key 2      in the words of provider.py
    shows only serial 2 key 2        and it no longer opens what is sealed for others
    rotates every 1s                 a new key and serial each time; the old key is forgotten
    tc on certificates over udp      any deed on queries: here on those for certificates
"""
import os
import socket
import struct

from deeds import deed
from scenario import TIME, seconds
from sodium import REPLY_MAGIC, padded

RUNTS = 48      # a sealed packet has more octets than that
MTU = 1400


# ---- certificates ----

@deed(r"shows (?P<only>only )?(?P<words>.+)", "turn")
def shows(only, words):
    return lambda upstream: upstream.own.show(upstream.own.provider.certificates(words), bool(only))


@deed(rf"rotates every (?P<pause>{TIME})", "turn")
def rotates(pause):
    """What was asked with the old key is not answered any more."""
    def act(upstream):
        turn = upstream.turn

        def next_one(number):
            if upstream.turn != turn:
                return
            words = f"serial {number} key {number}"
            upstream.own.show(upstream.own.provider.certificates(words), True)
            upstream.later(seconds(pause), lambda: next_one(number + 1))
        upstream.later(seconds(pause), lambda: next_one(2))
    return act


@deed(r"marked tc")
def marked_cut():
    """With all the records that there are."""
    def act(way):
        way.reply.flags |= 0x0200
    return act


# ---- padding ----

PADDINGS = {
    "no padding": lambda octets: octets,
    "one octet of padding": lambda octets: octets + b"\x80",
    "too much padding": lambda octets: padded(octets, len(octets) + 1000),
    "padding of zeros": lambda octets: octets + bytes(64),
    "padding without its 0x80": lambda octets: octets + b"\x40" + bytes(63),
    "padding that ends in 1": lambda octets: padded(octets, len(octets) + 63) + b"\1",
    "nothing but zeros": lambda octets: bytes(len(octets)),
    "nothing but padding": lambda octets: padded(b"", len(octets)),
}


@deed("(?P<how>" + "|".join(PADDINGS) + ")")
def padding(how):
    def act(way):
        way.pad = PADDINGS[how]
    return act


# ---- packets ----

def flipped(octets, bit):
    return octets[:bit // 8] + bytes([octets[bit // 8] ^ 1 << bit % 8]) + octets[bit // 8 + 1:]


@deed(r"a bit flipped")
def bit_flip():
    """Any one."""
    def act(way):
        way.spoil = lambda packet: flipped(
            packet, int.from_bytes(os.urandom(4), "big") % (8 * len(packet)))
    return act


@deed(r"wrong nonce")
def wrong_nonce():
    """Sealed for a query that nobody asked."""
    def act(way):
        way.half = os.urandom(len(way.half))
    return act


@deed(r"wrong magic")
def wrong_magic():
    def act(way):
        way.spoil = lambda packet: flipped(packet, 0)
    return act


@deed(r"runts of (?P<size>\d+)")
def runt(size):
    """No more of the packet than that."""
    def act(way):
        way.spoil = lambda packet: packet[:int(size)]
    return act


@deed(r"the reply before it(?P<instead> instead)?")
def replayed(instead):
    """Once more, ahead of the right one or instead of it."""
    def act(way):
        last = way.conn.upstream.own.last_packet or REPLY_MAGIC
        if instead:
            way.spoil = lambda packet: last
        else:
            way.forged.append(last)
    return act


def forgeries(half):
    """Datagrams of somebody who sees the query and cannot open it; or does not see it."""
    rest = os.urandom(200)
    yield REPLY_MAGIC + half + rest                # only the seal tells
    yield REPLY_MAGIC + os.urandom(12) + rest
    yield os.urandom(8) + half + rest
    yield os.urandom(MTU)
    for size in range(RUNTS + 1):
        yield (REPLY_MAGIC + half + rest)[:size]


@deed(r"forgeries before each")
def forged():
    def act(way):
        way.forged += forgeries(way.half)
    return act


@deed(r"(?P<rate>\d+) forgeries a second", "turn")
def forged_flood(rate):
    """To whoever asked last, asked or not."""
    batch = max(1, int(rate) // 100)

    def act(upstream):
        turn, one = upstream.turn, forgeries(os.urandom(12))

        def pour(one):
            if upstream.turn != turn or not upstream.udp:
                return
            for client in list(upstream.own.ports)[-4:]:
                for _ in range(batch // 4 + 1):
                    octets = next(one, None)
                    if octets is None:
                        one = forgeries(os.urandom(12))
                    else:
                        upstream.udp.sendto(octets, client)
            upstream.later(0.01, lambda: pour(one))
        pour(one)
    return act


# ---- what the network says ----

def unreachable(server, client):
    """ICMP: nobody listens on that port of the server, it says to the client."""
    udp = struct.pack("!4H", client[1], server[1], 8, 0)
    inner = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0,
                        socket.inet_aton(client[0]), socket.inet_aton(server[0])) + udp
    body = struct.pack("!BBHI", 3, 3, 0, 0) + inner
    total = sum(struct.unpack(f"!{len(body) // 2}H", body))
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    return body[:2] + struct.pack("!H", ~total & 0xffff) + body[4:]


@deed(r"port unreachable (?P<how>before|instead of) each")
def icmp(how):
    """Forged by anybody: the server is there."""
    def act(way):
        server, client = way.conn.upstream, way.conn.client
        go = way.go

        def said_first():
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
                s.bind((server.address, 0))
                s.sendto(unreachable((server.address, server.port), client), (client[0], 0))
            if how == "before":
                go()
        if way.conn.is_datagram:
            way.go = said_first
    return act
