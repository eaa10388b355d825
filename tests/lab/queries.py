"""Queries as a scenario writes them, odd ones above all, and what is expected of their replies.

    www.example A                       an ordinary question: RD set, no EDNS
    w{}.example A edns 1232 do          {} becomes a number of its own in each query
    long 255 A | wire 0161c00c A        a name of so many octets, or of these
    www.example A questions 2           two questions; `questions 0`: none
    www.example A qr | rd 0 | opcode 5 | class CH | id 7
    www.example A edns 1232 version 1 option 65001:00ff*1000 owner a. section answer twice
    hex 0000010000010000..              these octets; 20 octets: as many zeroes

    NOERROR, TXT "text", ede 22, no ede, edns, no edns, tc, no tc, header only, question only,
    at most 512 octets, 52 octets
"""
import re
import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

import answers

OPT = 41
LONGEST_LABEL = 63
LOCAL = b"\x09localhost\0"  # answered by the daemon itself


class Query:
    """The octets of one query, and where its question stands in them."""

    def __init__(self, octets, question=b""):
        self.octets, self.question = octets, question

    @property
    def id(self):
        return int.from_bytes(self.octets[:2], "big")


def wire_name(text):
    return b"\0" if text == "." else dns.name.from_text(text).to_wire()


def name_of_length(length):
    """A name of so many octets; there is none of 256 that may be asked."""
    labels = b""
    while length - len(labels) - 1 > 0:
        size = min(LONGEST_LABEL, length - len(labels) - 2)
        labels += bytes([size]) + b"x" * size
    return labels + b"\0"


def first_name(word, words):
    """A name; `wire HEX` are its octets, `long N` is one of so many."""
    if word == "wire":
        return bytes.fromhex(words.pop(0))
    if word == "long":
        return name_of_length(int(words.pop(0)))
    return wire_name(word)


class Writer:
    """Reads the words of a query and writes its octets."""

    def __init__(self, text, number):
        self.words = text.replace("{}", str(number)).split()
        self.id, self.flags, self.opcode, self.rdclass = number & 0xffff, dns.flags.RD, 0, 1
        self.questions, self.trailing = 1, 0
        self.opts, self.size, self.version, self.do = 0, 1232, 0, False
        self.owner, self.section, self.options = b"\0", "additional", b""
        self.name = self.rdtype = None

    def word(self, convert=str):
        return convert(self.words.pop(0))

    def read(self):
        first = self.word()
        if first == "hex":
            return Query(bytes.fromhex("".join(self.words)))
        if self.words[:1] in (["octets"], ["octet"]):
            return Query(bytes(int(first)))
        self.name = first_name(first, self.words)
        self.rdtype = dns.rdatatype.from_text(self.word())
        while self.words:
            getattr(self, "read_" + self.word())()
        return self.write()

    def read_id(self):
        self.id = self.word(int)

    def read_qr(self):
        self.flags |= dns.flags.QR

    def read_rd(self):
        self.flags &= ~dns.flags.RD if self.word() == "0" else 0xffff

    def read_ad(self):
        self.flags |= dns.flags.AD

    def read_flags(self):
        self.flags |= self.word(lambda word: int(word, 16))

    def read_opcode(self):
        self.opcode = self.word(int)

    def read_class(self):
        self.rdclass = self.word(dns.rdataclass.from_text)

    def read_questions(self):
        self.questions = self.word(int)

    def read_trailing(self):
        self.trailing = self.word(int)

    def read_edns(self):
        self.opts = 1
        if self.words and self.words[0].isdigit():
            self.size = self.word(int)

    def read_twice(self):
        self.opts = 2

    def read_do(self):
        self.do = True

    def read_version(self):
        self.version = self.word(int)

    def read_owner(self):
        self.owner = self.word(wire_name)

    def read_section(self):
        self.section = self.word()

    def read_option(self):
        """CODE, CODE:HEX; CODE:HEX*N for N of them."""
        words = re.fullmatch(r"(\d+)(?::([0-9a-f]*))?(?:\*(\d+))?", self.word())
        code, data, count = words.groups()
        data = bytes.fromhex(data or "")
        self.options += (struct.pack("!HH", int(code), len(data)) + data) * int(count or 1)

    def opt(self):
        ttl = self.version << 16 | (0x8000 if self.do else 0)
        return self.owner + struct.pack("!HHIH", OPT, self.size, ttl, len(self.options)) \
            + self.options

    def write(self):
        counts = {"answer": 0, "authority": 0, "additional": 0, self.section: self.opts}
        header = struct.pack("!6H", self.id, self.flags | self.opcode << 11, self.questions,
                             counts["answer"], counts["authority"], counts["additional"])
        asked = self.name + struct.pack("!HH", self.rdtype, self.rdclass)
        return Query(header + asked * self.questions + self.opt() * self.opts
                     + bytes(self.trailing), asked)


def query(text, number=0):
    """The query of these words; `number` is its id, and stands for {}."""
    return Writer(text, number).read()


def numbered(text, first, count):
    """So many queries, numbered from `first` on."""
    if count == 1 or re.search(r"\{\}|\bid\b|hex|octet", text):
        return [query(text, number) for number in range(first, first + count)]
    one = query(text)  # they differ in their ids only
    return [Query((number & 0xffff).to_bytes(2, "big") + one.octets[2:], one.question)
            for number in range(first, first + count)]


# ---- replies ----

class Unexpected(AssertionError):
    """A reply, or its absence, is not what the scenario states."""


def header(reply):
    return struct.unpack("!6H", reply[:12])


def edes(message):
    return [int(o.code) for o in message.options if o.otype == dns.edns.OptionType.EDE]


def check_basics(asked, reply):
    """What holds for each reply there is: id, QR, and the question's very octets."""
    if len(reply) < 12:
        raise Unexpected(f"a reply of {len(reply)} octets")
    number, flags, questions, *_ = header(reply)
    if number != asked.id or not flags & dns.flags.QR:
        raise Unexpected(f"id {number}, flags {flags:04x}: no reply to id {asked.id}")
    if questions and reply[12:12 + len(asked.question)] != asked.question:
        raise Unexpected(f"another question: {reply[12:].hex()}")
    check_address(asked, reply)


def check_address(asked, reply):
    """An address is that of the name asked: no answer was meant for another question."""
    name, end = asked.question[:-4], 12 + len(asked.question)
    if reply[6:8] != b"\0\1" or reply[end:end + 4] != b"\xc0\x0c\0\1" or \
            name.lower().endswith(LOCAL):
        return
    if reply[end + 12:end + 16] != answers.address_of(name):
        raise Unexpected(f"another name's address: {reply.hex()}")


def facts(reply):
    """The words that are true of a reply."""
    if len(reply) == 12:
        return {dns.rcode.to_text(reply[3] & 15), "header only", "no edns", "no ede", "12 octets"}
    message = dns.message.from_wire(reply, ignore_trailing=False)
    _, flags, questions, answers, authorities, additionals = header(reply)
    opts = message.edns >= 0
    words = {dns.rcode.to_text(message.rcode()), f"{len(reply)} octets",
             "edns" if opts else "no edns", "tc" if flags & dns.flags.TC else "no tc",
             "aa" if flags & dns.flags.AA else "no aa", "ad" if flags & dns.flags.AD else "no ad",
             f"{answers} records"}
    words |= {f"ttl {rrset.ttl}" for rrset in message.answer + message.authority}
    words |= {f"ede {code}" for code in edes(message)} or {"no ede"}
    if questions == 1 and not answers and not authorities and additionals == opts:
        words.add("question only")
    for rrset in message.answer:
        words |= {f"{dns.rdatatype.to_text(rrset.rdtype)} {rr.to_text()}" for rr in rrset}
    return words


def check_reply(asked, reply, expected, whole=True):
    """Holds a reply against a list of expectations such as "FORMERR", "at most 512 octets"."""
    check_basics(asked, reply)
    if not whole:
        return
    found = facts(reply)
    for each in expected:
        most = re.fullmatch(r"at most (\d+) octets", each)
        if len(reply) > int(most[1]) if most else each not in found:
            raise Unexpected(f"not {each!r}: {', '.join(sorted(found))}")
