"""Words about whom the daemon believes, and what it offers to a peer before that.

    tried  pool ordered a b                  each line: a daemon of its own, a (the first) does this
        certificate expired  -> refused "certificate has expired"
        honest, a.pins {another key}  -> refused "no pin matches"
        certificate wildcard, a.url tls://127.0.0.2#sub.wild.example  -> accepted

    expect server name a dot.example         the only one in any ClientHello; none: there is none
    expect early data a 0                    ClientHellos with that extension

    clock 1970 | clock 10 years ahead | clock right      of the daemon, also while it runs
    plaintext a                              a server on port 53 of a's address, which works: a53
    watch the wire                           from now on, for:
    expect nothing in plaintext

Refused: three questions are answered by the others, a gets none of them and completes no handshake
(where it is a pin that does not match: it gets none of them), and the log says why, once. Accepted:
it gets questions.
"""
import os
import re
import struct
import time

import certificates
import expect
import harness
from expect import COMPARED, Failed, check
from remote import Remote
from wire import Watch
from words import new_daemon, play, word

LINE = re.compile(r'(?P<deeds>[^,]+?)(?:, (?P<settings>.+?))?\s+-> '
                  r'(?:refused "(?P<reason>[^"]+)"|(?P<accepted>accepted))')
QUESTIONS = 3


def with_pins(lab, settings):
    """{KIND} is the pin of that certificate."""
    maker = certificates.Maker.beside(lab.certificate)
    return re.sub(r"{([^}]+)}", lambda m: "sha256/" + maker.shown(m[1]).pin(), settings)


@word("tried")
def tried(lab, step):
    name = re.search(r"pool \S+ (\S+)", step.text)[1]
    for number, line in enumerate(step.block):
        words = LINE.fullmatch(line)
        if not words:
            raise ValueError(f"not to be tried: {line}")
        settings = ", ".join(filter(None, (step.text, words["settings"])))
        try:
            try_one(lab, name, words, with_pins(lab, settings), number)
        except AssertionError as error:
            lab.problems.append(f"{step.where}: {line}: {error}\n{lab.daemon.log()[-1500:]}")
        lab.finish_daemon()
    lab.daemon = None


def try_one(lab, name, words, settings, number):
    peer = lab.upstreams[name]
    peer.do("deeds", words["deeds"])
    before = peer.do("counts")
    lab.daemon = new_daemon(lab, settings, f"tried-{number}")
    play(lab, "it udp", [f"ask q{{}}.tried{number}.lab A x{QUESTIONS} -> NOERROR"])
    if words["accepted"]:
        harness.wait_until(lambda: reaches(lab, name, before, number), what=f"a question to {name}")
        return
    after = peer.do("counts")
    asked, done = (after[what] - before[what] for what in ("queries", "handshakes"))
    said = [line for line in lab.daemon.log_lines(f"upstream {name}: ")
            if "client_cert" not in line]  # not that it has expired
    if asked or (done and "pin" not in words["reason"]):
        raise Failed(f"{asked} questions came, {done} handshakes were completed")
    if len(said) != 1 or not re.search(f"warning: .* unknown -> down: {words['reason']}", said[0]):
        raise Failed(f"in the log: {said}")


def reaches(lab, name, before, number):
    """Asks once more; while a connection opens slowly, the next upstream answers."""
    play(lab, "it udp", [f"ask r{time.monotonic_ns()}.tried{number}.lab A -> NOERROR"])
    return lab.upstreams[name].do("counts")["queries"] > before["queries"]


@check(r"server name (?P<name>[a-z]\S*) (?P<wanted>\S+)")
def server_name(lab, name, wanted):
    found = lab.upstreams[name].do("counts")["server names"]
    if list(found) != ["" if wanted == "none" else wanted]:
        raise Failed(str(found))


@check(r"early data (?P<name>[a-z]\S*)" + COMPARED)
def early_data(lab, name, op, value):
    expect.compare(lab.upstreams[name].do("counts")["early data"], op, int(value))


# ---- the time of day ----

YEAR = 365 * 86400


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


# ---- plaintext ----

@word("plaintext")
def plaintext(lab, step):
    for name in step.text.split():
        directory = lab.dir / f"plaintext-{name}"
        directory.mkdir()
        lab.upstreams[name + "53"] = Remote(directory, lab.upstreams[name].address, 53, None,
                                            "honest").start()


@word("watch")
def watch(lab, step):
    if step.text != "the wire":
        raise ValueError(f"not to be watched: {step.text}")
    lab.watch = Watch().start()


@check(r"nothing in plaintext")
def nothing_in_plaintext(lab):
    """Beside what clients and the daemon say to each other."""
    packets = lab.watch.stop()
    if not packets:
        raise Failed("no packet was seen at all")
    for packet in packets:
        if packet.shows_a_name or 53 in packet.ports:
            raise Failed(str(packet))
