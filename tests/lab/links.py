"""One socket of a raw client: octets go out in any pieces, replies come back, or do not."""
import socket
import struct
import time

from queries import Unexpected

PATIENCE = 6          # seconds for a reply, unless a step says otherwise
WINDOW = 100          # datagrams under way at once
SMALL_BUFFER = 65536
ESTABLISHED = 1       # tcpi_state


class Asked:
    """What was asked and is not answered: by id, the oldest first."""

    def __init__(self):
        self.by_id, self.count, self.replies, self.latency = {}, 0, [], []

    def add(self, one):
        self.by_id.setdefault(one.id, []).append((one, time.monotonic()))
        self.count += 1

    def answered(self, reply):
        waiting = self.by_id.get(int.from_bytes(reply[:2], "big"))
        if not waiting:
            raise Unexpected(f"a reply to nothing: {reply[:40].hex()}")
        one, at = waiting.pop(0)
        if not waiting:
            del self.by_id[one.id]
        self.count -= 1
        self.latency.append(time.monotonic() - at)
        self.replies.append((one, reply))


class Link:
    """A socket with what is still to be sent through it, and what came back."""

    def __init__(self, kind, target, source):
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self.tcp, self.target = kind == "tcp", target
        self.socket = socket.socket(family, socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM)
        if source:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(source)
        self.asked = Asked()
        self.out, self.out_at = [], 0  # pieces, and when the next may go
        self.every = 0
        self.input = bytearray()
        self.ended = ""
        self.reading = True
        self.connected = False

    def connect(self):
        if self.connected:
            return
        self.connected = True
        if self.tcp:
            self.socket.settimeout(PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self.reading:  # else megabytes would wait here, and nobody notice
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        else:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.connect(self.target)
        self.socket.setblocking(False)

    # ---- out ----

    def send(self, pieces, every=0):
        self.out += pieces
        self.every = every

    def waiting(self):
        """Octets, or datagrams."""
        return sum(map(len, self.out)) if self.tcp else len(self.out)

    def may_send(self, now):
        return self.out and now >= self.out_at and (self.tcp or self.asked.count < WINDOW)

    def send_some(self, now):
        """What the kernel takes of the pieces that are due."""
        while self.may_send(now):
            piece = self.out[0]
            one = piece if self.tcp else piece.octets
            try:
                sent = self.socket.send(one)
            except BlockingIOError:
                return
            except (ConnectionError, BrokenPipeError):
                self.end("reset")
                return
            if sent < len(one):
                self.out[0] = one[sent:]
                continue
            del self.out[0]
            if not self.tcp:
                self.asked.add(piece)
            if self.every:
                self.out_at = now + self.every

    # ---- in ----

    def receive(self):
        """What there is, once."""
        try:
            data = self.socket.recv(1 << 18 if self.tcp else 1 << 16)
        except BlockingIOError:
            return
        except ConnectionError:
            self.end("reset")
            return
        if not self.tcp:
            self.asked.answered(data)
            return
        if not data:
            self.end("end")
        self.input += data
        self.take_frames()

    def take_frames(self):
        at = 0
        while len(self.input) >= at + 2:
            end = at + 2 + int.from_bytes(self.input[at:at + 2], "big")
            if len(self.input) < end:
                break
            self.asked.answered(bytes(self.input[at + 2:end]))
            at = end
        del self.input[:at]

    def end(self, how):
        self.ended, self.out = how, []

    def is_closed(self):
        """By the other side; also where we do not read."""
        if not self.reading:
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
            return info[0] != ESTABLISHED
        return bool(self.ended)

    def close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.ended = self.ended or "closed"
