"""Watches the wire: every packet on lo that is not between a client and the daemon."""
import socket
import threading

import answers

ALL = 3         # ETH_P_ALL
HEADER = 14     # Ethernet's
RCVBUFFORCE, PACKET, STATISTICS = 33, 263, 6  # what Python's socket does not name
TCP, UDP, ICMP = 6, 17, 1
DAEMON = (socket.inet_aton("127.0.0.1"), 53)
NAME = answers.name_wire("lab")


class Packet:
    """Addresses, ports and what it carries; of IPv4."""

    def __init__(self, frame):
        head = HEADER + (frame[HEADER] & 15) * 4
        self.protocol = frame[HEADER + 9]
        self.hosts = frame[HEADER + 12:HEADER + 16], frame[HEADER + 16:HEADER + 20]
        has_ports = self.protocol in (TCP, UDP)
        self.ports = tuple(int.from_bytes(frame[head + at:head + at + 2], "big") * has_ports
                           for at in (0, 2))
        self.body = frame[head:]

    @property
    def is_of_a_client(self):
        return DAEMON in zip(self.hosts, self.ports)

    @property
    def is_local_trouble(self):
        """The kernel's word to a client that asked before the daemon listened."""
        return self.protocol == ICMP and self.hosts == (DAEMON[0], DAEMON[0])

    @property
    def shows_a_name(self):
        return NAME in self.body.lower()

    def __str__(self):
        return f"protocol {self.protocol}, {self.hosts}, ports {self.ports}: {self.body.hex()}"


class Watch:
    """Begins with start(); stop() ends it and returns the packets."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, 1 << 26)
        self.socket.bind(("lo", 0))
        self.packets, self.last = [], b""
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def run(self):
        """Until the datagram comes that stop() sends."""
        while True:
            frame = self.socket.recv(1 << 17)
            if self.last and frame.endswith(self.last):
                return
            if frame[12:14] == b"\x08\0":
                packet = Packet(frame)
                if not packet.is_of_a_client and not packet.is_local_trouble:
                    self.packets.append(packet)

    def stop(self):
        self.last = b"the last packet"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(self.last, ("127.0.0.1", 9))
        self.thread.join()
        dropped = int.from_bytes(self.socket.getsockopt(PACKET, STATISTICS, 8)[4:], "little")
        self.socket.close()
        if dropped:
            raise AssertionError(f"{dropped} packets were not seen")
        return self.packets
