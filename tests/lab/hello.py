"""Reads a ClientHello [RFC 8446 §4.1.2]: what a TLS client offers before anything is encrypted."""

HANDSHAKE, CLIENT_HELLO = 22, 1
SERVER_NAME, ALPN, EARLY_DATA, PSK = 0, 16, 42, 41


class Hello:
    """Fed with what comes until it is whole: then it has extensions, by number."""

    def __init__(self):
        self.input, self.extensions = b"", None

    def feed(self, data):
        """True: now it is whole."""
        if self.extensions is not None or len(self.input) >= 1 << 16:
            return False
        self.input += data
        message = self.message()
        if message:
            self.extensions = dict(extensions_of(message))
        return self.extensions is not None

    def message(self):
        """The first handshake message, taken out of its records; None: not all of it is here."""
        message, at = b"", 0
        while self.input[at:at + 1] == bytes([HANDSHAKE]) and len(self.input) >= at + 5:
            end = at + 5 + int.from_bytes(self.input[at + 3:at + 5], "big")
            message += self.input[at + 5:end]
            at = end
        if message[:1] != bytes([CLIENT_HELLO]) or len(message) < 4:
            return None
        end = 4 + int.from_bytes(message[1:4], "big")
        return message[4:end] if len(message) >= end else None

    @property
    def server_name(self):
        """"" where it names none."""
        octets = (self.extensions or {}).get(SERVER_NAME, b"")
        return octets[5:].decode("ascii", "replace")

    @property
    def offers_early_data(self):
        return EARLY_DATA in (self.extensions or {})


def extensions_of(message):
    at = 2 + 32                                                 # version, random
    at += 1 + message[at]                                       # session id
    at += 2 + int.from_bytes(message[at:at + 2], "big")         # cipher suites
    at += 1 + message[at]                                       # compression methods
    end = at + 2 + int.from_bytes(message[at:at + 2], "big")
    at += 2
    while at + 4 <= end:
        size = int.from_bytes(message[at + 2:at + 4], "big")
        yield int.from_bytes(message[at:at + 2], "big"), message[at + 4:at + 4 + size]
        at += 4 + size
