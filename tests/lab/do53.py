"""DNS in plaintext, over TCP and UDP [RFC 1035 §4.2; RFC 7766]."""
import deeds
from talk import Framed, Talk


class Datagram(Talk):
    """A query over UDP, as a connection that carries this one only."""

    tls, ready, open = None, True, True
    transport, is_datagram = "udp", True

    def __init__(self, upstream, client):
        self.upstream, self.client = upstream, client
        self.turn = upstream.turn
        self.number, self.asked, self.answered = 0, 1, 0

    def __str__(self):
        return "datagram"

    def came(self, octets):
        self.upstream.received(self, octets)

    @property
    def connection(self):
        return self

    def way(self, query):
        return deeds.Way(self, query)

    def frame(self, message):
        self.answered += 1
        self.pour(bytes(message))

    def send(self, octets):
        """A deed about frames: here the octets behind the length."""
        self.pour(octets[2:])

    def pour(self, octets):
        """What is late has nobody to send it any more, where the upstream refuses by now."""
        if self.upstream.udp:
            self.upstream.udp.sendto(octets, self.client)

    def nothing(self):
        """There is no connection to close."""

    close = cut = reset = half_close = flush = nothing


class Do53(Framed):
    """A connection."""

    NAME, PORT = "do53", 53
    DATAGRAM = Datagram
    PLAINTEXT = True
    URL = "udp://{address}"
