"""A relay of Anonymized DNSCrypt: passes packets on, checks them as real ones do.

    upstream  a dnscrypt, r relay, s relay refuse
    daemon    pool ordered a, a.relays r s
    expect    queries r > 10, refused by r 0
    expect    nothing direct a               who saw the wire saw only relays talk to a

It talks UDP to the server, also for those who came over TCP. What is not meant for a relay, or for
another port, is not passed on, and neither is a reply that is longer than its query or that is
neither sealed nor certificates [Anonymized DNSCrypt §3].
"""
import collections
import ipaddress
import socket

import answers
from checks import COMPARED, Failed, check, compare
from deeds import Way, deed
from do53 import Datagram
from servers import counted, stamp
from sodium import REPLY_MAGIC
from talk import READ, Framed

MAGIC = b"\xff" * 8 + b"\0\0"
HEAD = len(MAGIC) + 16 + 2
SHORTEST = 12 + 5         # a DNS message with a question
PORTS = (443,)            # of servers; others would make it a tool against anybody
CERTIFICATES = b"\x012\x0ddnscrypt-cert"
PATIENCE = 5              # seconds for a server's reply


class Refused(Exception):
    """What is wrong with a packet."""


def destination(packet):
    """Address and port; Refused."""
    if len(packet) < HEAD + SHORTEST:
        raise Refused("too short")
    if not packet.startswith(MAGIC):
        raise Refused("not for a relay")
    address = ipaddress.IPv6Address(packet[len(MAGIC):len(MAGIC) + 16]).ipv4_mapped
    port = int.from_bytes(packet[HEAD - 2:HEAD], "big")
    if address is None:
        raise Refused("only IPv4 here")
    if port not in PORTS:
        raise Refused(f"port {port}")
    if packet[HEAD:].startswith(MAGIC[:8]) or not any(packet[HEAD:HEAD + 7]):
        raise Refused("for another relay, or QUIC")
    return str(address), port


def may_pass(reply, query):
    if len(reply) > len(query):
        return False
    return reply.startswith(REPLY_MAGIC) or (
        reply[:2] == query[:2] and reply[answers.HEADER:].startswith(CERTIFICATES))


class State:
    """What a relay has beside connections."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.refused, self.servers = collections.Counter(), collections.Counter()

    def honest(self):
        """Nothing that deeds do lasts."""

    def counts(self):
        return {"refused": dict(self.refused), "servers": dict(self.servers)}

    def take(self, conn, packet):
        self.upstream.asked_in_all += 1
        self.upstream.deeds.received(conn, packet)

    def pass_on(self, conn, packet):
        """To the server, through a socket of its own."""
        try:
            server = destination(packet)
            if server[0] == self.upstream.address:
                raise Refused("to itself")
        except Refused as error:
            self.refused[str(error)] += 1
            return
        query = packet[HEAD:]
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((self.upstream.address, 0))
        one.connect(server)
        one.setblocking(False)
        self.servers[server[0]] += 1

        def end():
            if one.fileno() >= 0:
                self.upstream.selector.unregister(one)
                one.close()

        def came():
            try:
                reply = one.recv(1 << 16)
            except OSError:
                return
            if may_pass(reply, query):
                end()
                conn.frame(reply)
            else:
                self.refused["its reply"] += 1
        self.upstream.selector.register(one, READ, came)
        self.upstream.later(PATIENCE, end)
        try:
            one.send(query)
        except OSError:
            end()


class RelayWay(Way):
    """What becomes of a packet."""

    def __init__(self, conn, packet):  # pylint: disable=super-init-not-called
        self.conn, self.packet = conn, packet
        self.delay, self.gather = 0, None

    def send(self):
        self.conn.upstream.own.pass_on(self.conn, self.packet)


@deed(r"says no")
def says_no():
    """With an empty packet."""
    def act(way):
        way.go = lambda: way.conn.frame(b"")
    return act


class RelayDatagram(Datagram):
    """One that comes."""

    def way(self, query):
        return RelayWay(self, query)

    def came(self, octets):
        self.upstream.own.take(self, octets)


class Relay(Framed):
    """A connection."""

    NAME, PORT = "relay", 443
    DATAGRAM, STATE = RelayDatagram, State

    @classmethod
    def entry(cls, upstream, name, ca_file):
        """It is none of the upstreams, but what `relays` of one may name."""
        return {}

    @classmethod
    def stamp(cls, address):
        return stamp(b"\x81" + counted(address.encode()))

    def way(self, query):
        return RelayWay(self, query)

    def came(self, message):
        self.upstream.own.take(self, message)


# ---- checks ----

@check(r"refused by (?P<name>[a-z]\S*)" + COMPARED)
def refused_by(lab, name, op, value):
    refused = lab.upstreams[name].do("counts")["refused"]
    try:
        compare(sum(refused.values()), op, int(value))
    except Failed as error:
        raise Failed(f"{error}: {refused}") from None


@check(r"nothing direct (?P<name>[a-z]\S*)")
def nothing_direct(lab, name):
    """Each packet from and to it was a relay's."""
    server = socket.inet_aton(lab.upstreams[name].address)
    relays = [socket.inet_aton(each.address) for each in lab.upstreams.values()
              if each.kind is Relay]
    packets = lab.watch.stop()
    if not any(each in packet.hosts for packet in packets for each in relays):
        raise Failed("no packet of a relay was seen at all")
    for packet in packets:
        if server in packet.hosts and not any(each in packet.hosts for each in relays):
            raise Failed(str(packet))
