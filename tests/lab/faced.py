"""Words about a server that does one thing after the other, and checks about HTTP.

    faced  pool ordered a b, query.deadline 1s      each line: a daemon of its own, a does this
        flood of pings, a.method get -> answered by b, log "too many frames"
        status 503                   -> ede 23
        trailers                     -> answered by a
        honest                       -> answered

    expect a got only fields ":method POST; :scheme https; ..."     each request, in this order
    expect most streams a <= 10              at once on one connection; resets, pings: by the daemon
    expect overruns a 0                      streams above the limit that was agreed
    expect late streams a 0                  streams after GOAWAY

Faced: some questions at once, each answered within the deadline; then the server is honest, and a
new question is answered. Always: few connections, little memory, no complaint.
"""
import re

import dns.rcode

import expect
import harness
from expect import COMPARED, Failed, check
from load import LOST, Load, Result
from words import new_daemon, parts, word

LINE = re.compile(r'(?P<deeds>[^,]+?)(?:, (?P<settings>.+?))?\s+-> (?P<wanted>.+)')
QUESTIONS, RATE = 24, 100
DEADLINE = 4.6        # the promise, and a little for whoever measures
CONNECTIONS = 12
MEMORY = "32MiB"
BACK = 6              # the longest back-off, and a little


@word("faced")
def faced(lab, step):
    name = re.search(r"pool \S+ (\w+)", step.text)[1]
    most = 0
    for number, line in enumerate(step.block):
        words = LINE.fullmatch(line)
        if not words:
            raise ValueError(f"not to be faced: {line}")
        settings = ", ".join(filter(None, (step.text, words["settings"])))
        lab.upstreams[name].do("deeds", words["deeds"])
        before = lab.upstreams[name].do("counts")
        lab.daemon = new_daemon(lab, settings, f"faced-{number}")
        try:
            face(lab, name, before, parts(words["wanted"]))
            heal(lab, name)
            most = max(most, cpu_of(lab))
        except AssertionError as error:
            lab.problems.append(f"{step.where}: {line}: {error}\n{lab.daemon.log()[-1500:]}")
        lab.finish_daemon()
    lab.notes.append(f"at most {most} ms of CPU")
    lab.daemon = None


def face(lab, name, before, wanted):
    load = Load(lab.daemon.address, RATE, QUESTIONS)
    lab.loads.append(load)
    load.run()
    found = Result([load])
    after = lab.upstreams[name].do("counts")
    if found.count(LOST) or found.quantile(1) > DEADLINE:
        raise Failed(f"{found.count(LOST)} lost, the last after {found.quantile(1):.1f} s")
    if after["connections"] - before["connections"] > CONNECTIONS:
        raise Failed(f"{after['connections'] - before['connections']} connections")
    expect.one(lab, f"memory < {MEMORY}")
    for each in wanted:
        holds(lab, each, load, found, name)


def holds(lab, wanted, load, found, name):
    """answered [by UPSTREAM] | failed | ede N | any other check."""
    words = re.fullmatch(r"answered(?: by (?P<by>\S+))?|(?P<failed>failed|ede (?P<ede>\d+))",
                         wanted)
    if not words:
        expect.one(lab, wanted)
        return
    rcode = dns.rcode.SERVFAIL if words["failed"] else dns.rcode.NOERROR
    if found.count(rcode) != QUESTIONS:
        raise Failed(f"{found.count(rcode)} of {QUESTIONS} are {dns.rcode.to_text(rcode)}")
    if words["ede"] and load.edes.get(int(words["ede"]), 0) != QUESTIONS:
        raise Failed(f"Extended DNS Errors: {load.edes}")
    went_down = bool(lab.daemon.log_lines(f"upstream {name}: .* down"))
    if words["by"] == name and went_down:
        raise Failed(f"{name} is down")
    if words["by"] not in (None, name) and not went_down:
        raise Failed(f"{name} is not down")


def heal(lab, name):
    """All is well again: so are the answers, and the server that was faced gives them."""
    peer = lab.upstreams[name]
    peer.do("deeds", "honest")
    before = peer.do("counts")["queries"]
    numbers = iter(range(10000))

    def answered():
        reply = lab.daemon.ask(f"healed{next(numbers)}.faced.lab")
        return reply.rcode() == 0 and peer.do("counts")["queries"] > before
    harness.wait_until(answered, BACK, 0.1, f"an answer of {name}")


def cpu_of(lab):
    """ms of processor time."""
    with open(f"/proc/{lab.daemon.process.pid}/stat", encoding="ascii") as stat:
        user, system = map(int, stat.read().rpartition(")")[2].split()[11:13])
    return (user + system) * 10


@check(r"(?P<what>most streams|overruns|late streams|pings|resets) (?P<name>[a-z]\S*)" + COMPARED)
def http_counted(lab, what, name, op, value):
    expect.compare(lab.upstreams[name].do("counts")[what], op, int(value))


@check(r'(?P<name>[a-z]\S*) got only fields "(?P<wanted>[^"]+)"')
def got_only_fields(lab, name, wanted):
    """A value may be a regular expression."""
    wanted = [each.split(" ", 1) for each in wanted.split("; ")]
    requests = lab.upstreams[name].do("requests")
    if not requests:
        raise Failed("none came")
    for fields in requests:
        if len(fields) != len(wanted) or not all(
                name == field and re.fullmatch(value, found)
                for (name, found), (field, value) in zip(fields, wanted)):
            raise Failed(str(fields))
