"""`expect`: what must be true of loads, upstreams and the log."""
import os
from pathlib import Path

import dns.rcode

import harness
from checks import COMPARED, COMPARED_TIME, WINDOW, Failed, check, compare, hold
from load import LOST, Result
from scenario import parts, seconds, word


@word("expect")
def expect(lab, step):
    """expect CHECK [within TIME], CHECK ...; one without a time waits for all that runs."""
    if step.at is None:
        lab.join()
    for part in parts(step.text):
        text, _, patience = part.partition(" within ")
        try:
            if patience:
                eventually(lab, text, seconds(patience))
            else:
                hold(lab, text)
        except Failed as error:
            lab.problems.append(f"{step.where}: {part}: {error}")


def eventually(lab, text, patience):
    """Polls until it holds."""
    def holds():
        try:
            hold(lab, text)
            return True
        except Failed:
            return False
    try:
        harness.wait_until(holds, patience)
    except TimeoutError:
        hold(lab, text)


# ---- loads ----

def result(lab, first, last):
    return Result(lab.loads, *(() if first is None else (seconds(first), seconds(last))))


@check(r"(?P<what>asked|lost|answered|servfail|nxdomain|refused|formerr|notimp)" + COMPARED
       + WINDOW)
def count(lab, what, op, value, first, last):
    """lost 0 | servfail <= 3 | answered >= 79 | asked 80; answered is NOERROR."""
    found = result(lab, first, last)
    if what == "asked":
        compare(found.total, op, int(value))
        return
    rcode = {"lost": LOST, "answered": 0}.get(what)
    try:
        rcode = dns.rcode.from_text(what.upper()) if rcode is None else rcode
    except dns.rcode.UnknownRcode:
        raise ValueError(f"not an expectation: {what}") from None
    compare(found.count(rcode), op, int(value))


@check(r"(?P<what>p50|p99|worst)" + COMPARED_TIME + WINDOW)
def latency(lab, what, op, value, first, last):
    """Asserted in the long form only, and not of a build that a sanitizer slows down."""
    found = result(lab, first, last).quantile({"p50": 0.5, "p99": 0.99, "worst": 1}[what])
    if lab.full and not harness.SANITIZED:
        compare(found, op, seconds(value))


@check(r"cpu" + COMPARED_TIME + r" a query")
def cpu(lab, op, value):
    """The daemon's, for each query of the loads; asserted as latency is."""
    fields = Path(f"/proc/{lab.daemon.process.pid}/stat").read_text(encoding="ascii").split()
    used = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    found = used / result(lab, None, None).total
    lab.notes.append(f"{found * 1e6:.0f} us of CPU a query")
    if lab.full and not harness.SANITIZED:
        compare(found, op, seconds(value))


@check(r"every reply in (?P<time>\S+)")
def deadline(lab, time):
    """A promise: asserted always."""
    compare(result(lab, None, None).quantile(1), "<=", seconds(time))


@check(r"every failure says ede (?P<code>\d+)")
def reasons(lab, code):
    """Each SERVFAIL carries this Extended DNS Error."""
    compare(sum(load.edes.get(int(code), 0) for load in lab.loads), "=",
            result(lab, None, None).count(dns.rcode.SERVFAIL))


@check(r"ede (?P<code>\d+)" + COMPARED)
def ede(lab, code, op, value):
    """How many failures say so."""
    compare(sum(load.edes.get(int(code), 0) for load in lab.loads), op, int(value))


# ---- upstreams ----

@check(r"(?P<what>queries|connections|handshakes|resumed|open|most open) (?P<name>[a-z]\S*)"
       r"(?: of (?P<asked>\S+))?" + COMPARED)
def counted(lab, what, name, asked, op, value):
    """queries a < 20 | queries a of www.example 1 | connections a 1 | open a 0"""
    counts = lab.upstreams[name].do("counts")
    found = counts["names"].get(asked, 0) if asked else counts[what]
    compare(found, op, int(value))


# ---- the log ----

@check(r'log (?:(?P<times>once|never|\d+ times) )?"(?P<pattern>[^"]*)"')
def log(lab, times, pattern):
    """log "x": at least once; the text is a regular expression."""
    lines = lab.daemon.log_lines(pattern)
    if times:
        wanted = {"once": "1", "never": "0"}.get(times, times)
        good = len(lines) == int(wanted.split()[0])
    else:
        good = bool(lines)
    if not good:
        raise Failed(f"{len(lines)} lines: {lines[:5] or lab.daemon.log()[-2000:]}")
