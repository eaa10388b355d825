"""Deeds on the message: replies that are wrong, strange or merely odd."""
import io
import os
import struct

import answers
from deeds import deed

RECORD = len(answers.record(answers.A, 0, b""))


@deed(r"rcode (?P<name>[A-Z]+)")
def rcode(name):
    number = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
              "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"].index(name)

    def act(way):
        way.reply.empty()
        way.reply.rcode = number
        if name == "NXDOMAIN":
            way.reply.authority.append(answers.soa(60, 60))
    return act


@deed(r"wrong id")
def wrong_id():
    def act(way):
        way.reply.id = bytes([way.query[0] ^ 0x55, way.query[1]])
    return act


@deed(r"a stray before each")
def stray():
    """An answer with an id that nobody waits for, then the right one."""
    def act(way):
        other = answers.Reply(way.query)
        other.id = bytes([way.query[0] ^ 0x55, way.query[1]])
        other.answer = [answers.record(answers.A, 60, b"\xc0\0\2\x42")]
        way.before = [bytes(other)]
    return act


@deed(r"wrong name")
def wrong_name():
    """Another letter in the first label; an address that nobody has."""
    def act(way):
        question = way.reply.question
        way.reply.question = question[:1] + bytes([question[1] ^ 1]) + question[2:]
    return act


@deed(r"wrong (?P<what>type|class)")
def wrong_type(what):
    def act(way):
        question = bytearray(way.reply.question)
        question[-3 if what == "type" else -1] ^= 0x1f
        way.reply.question = bytes(question)
    return act


@deed(r"(?P<how>lower|upper) case")
def other_case(how):
    def act(way):
        question = way.reply.question
        name = question[:-4]
        way.reply.question = (name.lower() if how == "lower" else upper(name)) + question[-4:]
    return act


def upper(name):
    out, at = bytearray(name), 0
    while name[at]:
        out[at + 1:at + 1 + name[at]] = name[at + 1:at + 1 + name[at]].upper()
        at += name[at] + 1
    return bytes(out)


@deed(r"tc")
def tc():
    def act(way):
        way.reply.empty()
        way.reply.flags |= 0x0200
    return act


@deed(r"sized")
def sized():
    """A message of so many octets, without OPT, as the name's first label says: one TXT record."""
    def act(way):
        label = answers.name_text(way.query).split(".", maxsplit=1)[0]
        if label.isdigit():
            left = int(label) - answers.HEADER - len(way.reply.question) - RECORD
            strings = [255] * ((left - 1) // 256) + [(left - 1) % 256]
            way.reply.answer = [answers.record(answers.TXT, 60, b"".join(
                bytes([size]) + b"x" * size for size in strings))]
    return act


@deed(r"garbage(?: (?P<size>\d+))?")
def garbage(size):
    """Random octets behind the right id."""
    def act(way):
        way.octets = way.query[:2] + os.urandom(int(size or 60))
    return act


@deed(r"query back")
def query_back():
    """The query itself, QR=0."""
    def act(way):
        way.octets = way.query
    return act


@deed(r"opcode (?P<number>\d+)")
def opcode(number):
    def act(way):
        way.reply.flags |= int(number) << 11
    return act


@deed(r"(?P<what>no question|header only)")
def no_question(what):
    def act(way):
        way.reply.question = b""
        way.reply.empty()
        if what == "header only":
            way.reply.opt = b""
    return act


@deed(r"the next (?P<count>\d+) ids before each")
def every_id(count):
    """Bare headers with one id after the other, but for the one that is waited for."""
    last = [-1]

    def act(way):
        for _ in range(int(count)):
            last[0] = (last[0] + 1) & 0xffff
            number = last[0].to_bytes(2, "big")
            if number != way.query[:2]:
                way.before.append(number + b"\x81\x80" + bytes(8))
    return act


# ---- records ----

def wire(name, ttl, rdtype, rdata):
    """Records in wire form, as text says."""
    import dns.rrset  # only who needs it waits for it
    out = io.BytesIO()
    dns.rrset.from_text(name + ".", int(ttl), "IN", rdtype, rdata).to_wire(out)
    return out.getvalue()


@deed(r"adds (?P<name>\S+) (?P<ttl>\d+) (?P<rdtype>[A-Z]+) (?P<rdata>.+?)"
      r"(?: to (?P<section>answer|authority|additional))?")
def adds(name, ttl, rdtype, rdata, section):
    octets = wire(name, ttl, rdtype, rdata)

    def act(way):
        getattr(way.reply, section or "answer").append(octets)
    return act


@deed(r"(?P<count>\d+) records")
def records(count):
    """So many addresses; the first is the true one."""
    def act(way):
        if way.reply.answer:
            way.reply.answer += [answers.record(answers.A, 60, b"\xc0\0\2\1")] * (int(count) - 1)
    return act


@deed(r"chain of (?P<count>\d+)(?P<loop> in a loop)?")
def chain(count, loop):
    """CNAMEs, then the address; or back to the first one."""
    def act(way):
        names = [way.reply.question[:-4]] + \
            [answers.name_wire(f"c{i}.chain.lab") for i in range(1, int(count) + 1)]
        if loop:
            names[-1] = names[0]
        way.reply.answer = [answers.record(answers.CNAME, 60, after, name)
                            for name, after in zip(names, names[1:])]
        if not loop:
            way.reply.answer.append(answers.record(answers.A, 60, b"\xc0\0\2\x0a", names[-1]))
    return act


@deed(r"ttl (?P<ttl>\d+)")
def with_ttl(ttl):
    def act(way):
        way.reply.answer = [record[:6] + int(ttl).to_bytes(4, "big") + record[10:]
                            for record in way.reply.answer]
    return act


@deed(r"nxdomain ttl (?P<ttl>\d+) minimum (?P<minimum>\d+)")
def nxdomain(ttl, minimum):
    def act(way):
        way.reply.empty()
        way.reply.rcode = 3
        way.reply.authority.append(answers.soa(int(ttl), int(minimum)))
    return act


@deed(r"ad")
def authentic():
    def act(way):
        way.reply.flags |= 0x0020
    return act


@deed(r"option (?P<code>\d+):(?P<data>[0-9a-f]*)")
def option(code, data):
    """One more EDNS option, if the query has EDNS."""
    octets = struct.pack("!HH", int(code), len(data) // 2) + bytes.fromhex(data)

    def act(way):
        if way.reply.opt:
            old = way.reply.opt
            size = int.from_bytes(old[9:11], "big") + len(octets)
            way.reply.opt = old[:9] + size.to_bytes(2, "big") + old[11:] + octets
    return act


# ---- records that are none ----

@deed(r"counts (?P<counts>\d+ \d+ \d+ \d+)")
def false_counts(counts):
    def act(way):
        way.reply.counts = tuple(map(int, counts.split()))
    return act


@deed(r"rdlength (?P<length>\d+)")
def false_rdlength(length):
    """In the first record."""
    def act(way):
        for record in way.reply.answer[:1]:
            way.reply.answer[0] = record[:10] + int(length).to_bytes(2, "big") + record[12:]
    return act


@deed(r"without the last (?P<count>\d+) octets")
def cut_short(count):
    def act(way):
        way.octets = way.message()[:-int(count)]
    return act


@deed(r"empty address")
def empty_address():
    def act(way):
        way.reply.answer = [answers.record(answers.A, 60, b"")]
    return act


@deed(r"pointer to itself")
def pointer_to_itself():
    """In place of the first record's name."""
    def act(way):
        at = answers.HEADER + len(way.reply.question)
        for record in way.reply.answer[:1]:
            way.reply.answer[0] = (0xc000 | at).to_bytes(2, "big") + record[2:]
    return act


@deed(r"opt with ttl (?P<ttl>[0-9a-f]{8})")
def opt_ttl(ttl):
    """Extended RCODE, version and flags of the OPT, in hexadecimal."""
    def act(way):
        way.reply.opt = b"\0\0\x29\x04\xd0" + bytes.fromhex(ttl) + b"\0\0"
    return act
