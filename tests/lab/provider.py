"""The provider of a scripted DNSCrypt server: its keys and certificates [DNSCrypt v2 §12].

A certificate is described by words, as a scenario has them: `serial 2 key 2`, `expired`, `es 3`.
Keys follow from the server's address, so that a server that starts again has the same.
"""
import re
import struct
from time import time as clock

from scenario import TIME, seconds
from sodium import XCHACHA, Signer, public_of, secret_of

NAME = "2.dnscrypt-cert.example"
DAY = 86400
KINDS = []


def kind(words):
    """What one of a certificate's words changes."""
    def add(function):
        KINDS.append((re.compile(words + r"(?: |$)"), function))
        return function
    return add


class Certificate:
    """As good as can be, until words change it."""

    def __init__(self, provider, words=""):
        today = int(clock()) // DAY * DAY  # the same one whenever it is made
        self.signer, self.key = provider.signer, "1"
        self.magic, self.es, self.minor, self.serial = b"DNSC", XCHACHA, 0, 1
        self.start, self.end, self.extensions = today - DAY, today + 3 * DAY, b""
        self.server_key = self.client_magic = None
        self.spoilt, self.cut, self.strings, self.torn = False, None, 1, False
        self.secret_of = lambda: secret_of(f"{provider.label} key {self.key}")
        while words and words != "good":
            for pattern, function in KINDS:
                found = pattern.match(words)
                if found:
                    function(self, **found.groupdict())
                    words = words[found.end():]
                    break
            else:
                raise ValueError(f"no such certificate: {words}")

    @property
    def for_queries(self):
        """What a query begins with: different for each construction of a key."""
        public = public_of(self.secret_of())
        return self.client_magic or (public[:8] if self.es == XCHACHA else public[8:16])

    def record(self):
        signed = (self.server_key or public_of(self.secret_of())) + self.for_queries + \
            struct.pack("!III", self.serial, self.start, self.end) + self.extensions
        signature = bytearray(self.signer.sign(signed))
        if self.spoilt:
            signature[0] ^= 1
        head = self.magic + struct.pack("!HH", self.es, self.minor)
        return (head + signature + signed)[:self.cut]

    def rdata(self):
        """As character-strings."""
        record = self.record()
        size = min(255, -(-len(record) // self.strings))
        rdata = b"".join(bytes([len(piece)]) + piece for piece in
                         (record[at:at + size] for at in range(0, len(record), size)))
        return bytes([rdata[0] + 1]) + rdata[1:] if self.torn else rdata


@kind(r"(?P<name>es|minor|serial) (?P<value>\d+)")
def number(one, name, value):
    setattr(one, name, int(value))


@kind(r"xsalsa")
def xsalsa(one):
    one.es = 1


@kind(r"key (?P<name>\w+)")
def key(one, name):
    """Another of the server's."""
    one.key = name


@kind(rf"ends in (?P<time>{TIME})")
def ends(one, time):
    one.end = int(clock() + seconds(time))


@kind(r"expired")
def expired(one):
    one.start, one.end = one.start - 4 * DAY, one.end - 4 * DAY


@kind(r"not yet valid")
def early(one):
    one.start, one.end = one.start + 3 * DAY, one.end + 3 * DAY


@kind(r"ends before it begins")
def backwards(one):
    one.start, one.end = one.end, one.start


@kind(r"of another provider")
def foreign(one):
    one.signer = Signer(secret_of("another provider"))


@kind(r"bad signature")
def spoilt(one):
    one.spoilt = True


@kind(r"extensions of (?P<count>\d+)")
def extensions(one, count):
    one.extensions = bytes(range(256)) * (int(count) // 256) + bytes(range(int(count) % 256))


@kind(r"no certificate")
def no_certificate(one):
    """Another kind of record."""
    one.magic = b"v=sp"


@kind(r"reserved magic (?P<octets>[0-9a-f]{16})")
def reserved(one, octets):
    one.client_magic = bytes.fromhex(octets)


@kind(r"weak key")
def weak(one):
    one.server_key = bytes(32)


@kind(r"cut to (?P<count>\d+)")
def cut_to(one, count):
    one.cut = int(count)


@kind(r"in (?P<count>\d+) strings")
def in_strings(one, count):
    one.strings = int(count)


@kind(r"torn")
def torn(one):
    """The string's length points behind the record's end."""
    one.torn = True


class Provider:
    """A long-term key, and what is signed with it."""

    def __init__(self, label):
        self.label, self.name = label, NAME
        self.signer = Signer(secret_of(f"{label} provider"))

    def certificates(self, words):
        """`expired + 50 x serial 2 + good`; none: there are none."""
        found = []
        for each in words.split(" + ") if words != "none" else []:
            count, _, kind_ = each.rpartition(" x ")
            found += [Certificate(self, kind_) for _ in range(int(count or 1))]
        return found
