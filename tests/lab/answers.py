"""Answers that follow from the question: whoever knows the name knows its address.

The scripted upstream answers with these, and load and clients hold replies against them: an answer
that was meant for another question is seen.
"""
import struct
import zlib

HEADER = 12
A, NS, CNAME, SOA, TXT, AAAA, OPT = 1, 2, 5, 6, 16, 28, 41
POINTER = b"\xc0\x0c"  # to the question's name


def question_end(message):
    """Where the question of a message ends; IndexError in one that has none."""
    at = HEADER
    while message[at]:
        at += message[at] + 1
    if len(message) < at + 5:
        raise IndexError("no question")
    return at + 5


def name_text(message):
    """The name asked, in lower case, without the last dot; the root is "."."""
    labels, at = [], HEADER
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("ascii", "replace").lower())
        at += message[at] + 1
    return ".".join(labels) or "."


def name_wire(text):
    labels = [label.encode() for label in text.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def address_of(name):
    """The IPv4 address of a name in wire form, as octets (no letter is a length: lower() is safe)."""
    return zlib.crc32(name.lower()).to_bytes(4, "big")


def rdata_of(name, rdtype):
    """What a name has of this type, or None."""
    if rdtype == A:
        return address_of(name)
    if rdtype == AAAA:
        return b"\x20\x01\x0d\xb8" + address_of(name) * 3
    if rdtype == TXT:
        return b"\x04" + address_of(name)
    if rdtype == NS:
        return b"\x02ns\0"
    return None


def opt_of(query, end):
    """The OPT of a reply to this query: with its DO bit, none where it has none."""
    if query[10:12] == b"\0\0" or query[end:end + 3] != b"\0\0\x29":
        return b""
    return b"\0\0\x29\x04\xd0\0\0" + bytes([query[end + 7] & 0x80]) + b"\0\0\0"


def record(rdtype, ttl, rdata, name=POINTER):
    return name + struct.pack("!HHIH", rdtype, 1, ttl, len(rdata)) + rdata


def soa(ttl, minimum):
    return record(SOA, ttl, b"\0\0" + struct.pack("!5I", 1, 3600, 1200, 604800, minimum), b"\0")


class Reply:
    """A reply in parts, so that a deed can spoil one of them. bytes() of it is the message."""

    def __init__(self, query, ttl=60):
        end = question_end(query)
        self.id, self.rcode = query[:2], 0
        # QR, the opcode and RD of the query, RA, its CD
        self.flags = 0x8080 | (query[2] & 0x79) << 8 | query[3] & 0x10
        self.question = bytes(query[HEADER:end])
        self.answer, self.authority, self.additional = [], [], []
        self.opt = opt_of(query, end)
        self.counts = None  # in place of the true ones
        rdtype = int.from_bytes(query[end - 4:end - 2], "big")
        rdata = rdata_of(bytes(query[HEADER:end - 4]), rdtype)
        if rdata is None:
            self.authority.append(soa(ttl, ttl))
        else:
            self.answer.append(record(rdtype, ttl, rdata))

    @property
    def rdtype(self):
        return int.from_bytes(self.question[-4:-2], "big")

    def empty(self):
        self.answer, self.authority, self.additional = [], [], []

    def __bytes__(self):
        counts = self.counts or (1 if self.question else 0, len(self.answer),
                                 len(self.authority), len(self.additional) + bool(self.opt))
        return b"".join((self.id, struct.pack("!5H", self.flags | self.rcode, *counts),
                         self.question, *self.answer, *self.authority, *self.additional, self.opt))
