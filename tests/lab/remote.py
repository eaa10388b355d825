"""A scripted upstream in a process of its own, which can be frozen and killed like a real server.

Orders and results are JSON, one a line, over a socket that both share.
"""
import json
import selectors
import socket
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

import servers  # noqa: E402
from protocols import PROTOCOLS  # noqa: E402
from upstream import Upstream  # noqa: E402


class Remote(servers.Server):
    """What a scenario holds: start(), turn(), counts() ... and what every server here has."""

    def __init__(self, directory, address, kind, certificate, deeds="honest"):
        super().__init__(directory, address, kind.PORT, certificate if kind.ALPN else None)
        self.first_deeds, self.kind = deeds, kind
        self.orders = self.results = None

    def launch(self, argv=None, env=None):
        """Starts it; ready when it obeys: start() waits for that, begin() does not."""
        ours, theirs = socket.socketpair()
        certificate = [str(self.tls.crt), str(self.tls.key)] if self.tls else []
        self.process = servers.Process(
            "upstream", [sys.executable, __file__, str(theirs.fileno()), self.kind.NAME,
                         self.address, *certificate],
            self.dir, pass_fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(20)
        self.orders, self.results = ours, ours.makefile("r", encoding="utf-8")
        self.put("deeds", self.first_deeds)

    def start(self):
        self.launch()
        self.result()
        return self

    def put(self, *order):
        try:
            self.orders.sendall(json.dumps(order).encode() + b"\n")
        except OSError:
            self.fell()

    def fell(self):
        raise servers.StartError("the scripted upstream has ended: " + self.process.text()[-2000:])

    def result(self):
        line = self.results.readline()
        if not line:
            self.fell()
        result = json.loads(line)
        if isinstance(result, str):
            raise ValueError(result)
        return result

    def do(self, *order):
        self.put(*order)
        return self.result()

    def stop(self):
        super().stop()
        if self.orders:
            self.results.close()
            self.orders.close()
            self.orders = None


# ---- the process ----

class Orders:
    """The other end: each order is a method."""

    def __init__(self, upstream, channel):
        self.upstream, self.channel = upstream, channel
        self.input = b""
        upstream.selector.register(channel, selectors.EVENT_READ, self.readable)

    def readable(self):
        data = self.channel.recv(1 << 16)
        if not data:
            self.upstream.running = False
            return
        *lines, self.input = (self.input + data).split(b"\n")
        for line in lines:
            order, *arguments = json.loads(line)
            try:
                result = getattr(self, order)(*arguments)
            except ValueError as error:  # whoever ordered it says so
                result = str(error)
            except Exception as error:  # pylint: disable=broad-except
                result = f"{type(error).__name__}: {error}"
            self.channel.sendall(json.dumps(result).encode() + b"\n")

    def deeds(self, text):
        self.upstream.set_deeds(text)
        return {}

    def counts(self):
        return self.upstream.counts()

    def kept(self):
        """What it received, in hexadecimal."""
        return [message.hex() for message in self.upstream.kept]

    def requests(self):
        """The fields of HTTP requests."""
        return list(self.upstream.requests)

    def connections(self, how):
        """Ends all that are open now: close, cut, reset or half_close."""
        for conn in list(self.upstream.conns):
            getattr(conn, how)()
        return {}


def main():
    channel, protocol, address, *certificate = sys.argv[1:]
    certificate = servers.Certificate(*certificate) if certificate else None
    upstream = Upstream(address, certificate, kind=PROTOCOLS[protocol])
    Orders(upstream, socket.socket(fileno=int(channel)))
    upstream.serve()


if __name__ == "__main__":
    main()
