"""Words and checks about the daemon as a process: limits, clock, memory and end, and what it sends.

    limit descriptors 64, stack 256KiB       of the daemon that the next line starts
    limit descriptors 20                     of the daemon that runs
    clock 1970 | clock 10 years ahead | clock right      of the daemon, also while it runs
    spoof 127.0.0.9:53 www.lab A -> 1 datagram   a query that seems to come from there, and how many
                                             datagrams leave (UDP, from anybody here)
    end                                      SIGTERM; `expect log` still works
    expect memory < 40MiB, descriptors < 80
    expect a got own options for www.lab     in each query for it: one OPT, in it nothing but ours
    expect a got octets 0377                 in a query, these octets, in hexadecimal
    expect log is printable
"""
import os
import re
import resource
import socket
import struct
import time

import dns.message

import answers
import harness
from checks import COMPARED, Failed, check, compare
from client import SILENCE
from queries import query
from scenario import word

KEEPALIVE, PADDING = 11, 12  # EDNS options
SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}
YEAR = 365 * 86400
LIMITS = {"descriptors": ("--nofile", resource.RLIMIT_NOFILE), "stack": ("--stack", None)}


def size_of(text):
    number, unit = re.fullmatch(r"(\d+)(KiB|MiB|)", text).groups()
    return int(number) * SIZES[unit]


@word("limit")
def limit(lab, step):
    for part in step.text.split(", "):
        name, value = part.split()
        option, number = LIMITS[name]
        size = size_of(value)
        if lab.daemon:
            _, most = resource.prlimit(lab.daemon.process.pid, number)
            resource.prlimit(lab.daemon.process.pid, number, (size, most))
        else:
            lab.daemon_limits.append(f"{option}={size}")


@word("clock")
def clock(lab, step):
    """The first one stands before the daemon's line."""
    path = lab.dir / "clock"
    words = re.fullmatch(r"(?P<at>1970)|(?P<years>\d+) years ahead|right", step.text)
    ahead = 30 * 86400 - int(time.time()) if words["at"] else int(words["years"] or 0) * YEAR
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.write(struct.pack("q", ahead))
    if not lab.daemon:
        lab.daemon_env = {"LD_PRELOAD": str(harness.BUILD / "tests" / "lab-clock.so"),
                          "LAB_CLOCK": str(path),
                          "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")
                          + ":verify_asan_link_order=0"}


def datagrams_sent():
    with open("/proc/net/snmp", encoding="ascii") as table:
        head, values = [line.split() for line in table if line.startswith("Udp:")]
    return int(values[head.index("OutDatagrams")])


def spoofed(source, port, target, octets):
    """An IP packet; the kernel fills in what is 0."""
    udp = struct.pack("!4H", port, 53, 8 + len(octets), 0) + octets
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0,
                       socket.inet_aton(source), socket.inet_aton(target)) + udp


@word("spoof")
def spoof(lab, step):
    words = re.fullmatch(r"(\S+):(\d+) (.*?) +-> (\d+) datagrams?", step.text)
    source, port, what, wanted = words.groups()
    before = datagrams_sent()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        octets = query(what, 1).octets
        s.sendto(spoofed(source, int(port), lab.daemon.address, octets), (lab.daemon.address, 0))
    time.sleep(SILENCE)  # whoever replies to replies does not stop
    if datagrams_sent() - before != int(wanted):
        raise Failed(f"{datagrams_sent() - before} datagrams left")


@word("end")
def end(lab, step):
    """The daemon ends as it is told to; any complaint of a sanitizer is a problem."""
    del step
    lab.finish_daemon()
    lab.ended = True


@check(r"memory" + r"(?: (?P<op><=|>=|<|>|=)) (?P<value>\d+(?:KiB|MiB))")
def memory(lab, op, value):
    """Resident now; asserted of no build that a sanitizer makes larger."""
    if harness.SANITIZED:
        return
    with open(f"/proc/{lab.daemon.process.pid}/status", encoding="ascii") as status:
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read())
    compare(int(found[1]) << 10, op, size_of(value))


@check(r"descriptors" + COMPARED)
def descriptors(lab, op, value):
    compare(len(os.listdir(f"/proc/{lab.daemon.process.pid}/fd")), op, int(value))


def received(lab, name):
    return [bytes.fromhex(text) for text in lab.upstreams[name].do("kept")]


@check(r"(?P<name>\S+) got own options for (?P<asked>\S+)")
def got_own_options(lab, name, asked):
    """Keepalive (without data) and padding (zeroes), each at most once, and nothing behind them."""
    found = [octets for octets in received(lab, name) if answers.name_text(octets) == asked]
    if not found:
        raise Failed("none came")
    for octets in found:
        message = dns.message.from_wire(octets)  # two OPTs, or another owner, are an error
        options = [(int(option.otype), option.to_wire()) for option in message.options]
        foreign = [one for one in options if one[0] not in (KEEPALIVE, PADDING) or
                   any(one[1]) or one[0] == KEEPALIVE and one[1] or options.count(one) > 1]
        if message.edns != 0 or foreign or message.answer or message.authority:
            raise Failed(f"{foreign} in {octets.hex()}")


@check(r"(?P<name>\S+) got octets (?P<octets>[0-9a-f]+)")
def got_octets(lab, name, octets):
    messages = received(lab, name)
    if not any(bytes.fromhex(octets) in message for message in messages):
        raise Failed(", ".join(message.hex() for message in messages))


@check(r"log is printable")
def printable(lab):
    log = lab.daemon.process.log.read_bytes()
    strange = sorted(set(log) - set(range(32, 127)) - {10})
    if strange:
        raise Failed(f"octets {strange} in it")
