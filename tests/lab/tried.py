"""The word `tried`: a server does one thing after the other.

    tried  pool ordered a b, query.deadline 1s      each line: a daemon of its own, a does this
        certificate expired  -> refused "certificate has expired"
        certificate wildcard, a.url tls://127.0.0.2#sub.wild.example  -> accepted
        honest, a.pins {another key}  -> refused "no pin matches"
        flood of pings, a.method get  -> answered by b, log "too many frames"
        status 503                    -> ede 23

Always: so many questions are answered within the deadline, over few connections, with little memory
and without a complaint.

    answered [by NAME]   all of them; if by a: it is not down, if by another: a is down
    failed, ede N        none, and this is why
    refused "REASON"     others answer; a gets no question and completes no handshake (where it is a
                         pin that does not match: it gets no question), and the log says why, once
    accepted             a gets questions

or any other check. Where a was not refused or accepted, it is honest after that, and must answer
again.
"""
import re
import time

import dns.rcode

import certificates
import harness
from checks import Failed, hold
from load import LOST, Load, Result
from scenario import parts, word
from words import new_daemon

LINE = re.compile(r'(?P<deeds>[^,]+?)(?:, (?P<settings>.+?))?\s+-> (?P<wanted>.+)')
ANSWERED = re.compile(r"answered(?: by (?P<by>\S+))?")
FAILED = re.compile(r"failed|ede (?P<ede>\d+)")
REFUSED = re.compile(r'refused "(?P<reason>[^"]+)"')
QUESTIONS, RATE = 24, 100
DEADLINE = 4.6        # the promise, and a little for whoever measures
CONNECTIONS = 12
MEMORY = "32MiB"
BACK = 6              # the longest back-off, and a little


class Trial:
    """A line, and what was seen."""

    def __init__(self, lab, name, number, settings):
        self.lab, self.name, self.number = lab, name, number
        self.before = self.counts()
        lab.daemon = new_daemon(lab, settings, f"tried-{number}")
        self.load = Load(lab.daemon.address, RATE, QUESTIONS)
        lab.loads.append(self.load)

    def counts(self):
        return self.lab.upstreams[self.name].do("counts")

    def more(self, what):
        return self.counts()[what] - self.before[what]

    def run(self, wanted):
        self.load.run()
        found = Result([self.load])
        if found.count(LOST) or found.quantile(1) > DEADLINE:
            raise Failed(f"{found.count(LOST)} lost, the last after {found.quantile(1):.1f} s")
        if self.more("connections") > CONNECTIONS:
            raise Failed(f"{self.more('connections')} connections")
        hold(self.lab, f"memory < {MEMORY}")
        for each in wanted:
            self.hold(each)

    def hold(self, wanted):
        for pattern, function in self.OUTCOMES:
            words = pattern.fullmatch(wanted)
            if words:
                function(self, **words.groupdict())
                return
        hold(self.lab, wanted)

    def all_are(self, rcode):
        found = self.load.rcodes.count(rcode)
        if found != QUESTIONS:
            raise Failed(f"{found} of {QUESTIONS} are {dns.rcode.to_text(rcode)}")

    # ---- what may stand behind the arrow ----

    def answered(self, by):
        self.all_are(dns.rcode.NOERROR)
        down = bool(self.lab.daemon.log_lines(f"upstream {self.name}: .* down"))
        if by and down == (by == self.name):
            raise Failed(f"{self.name} is {'' if down else 'not '}down")

    def failed(self, ede):
        self.all_are(dns.rcode.SERVFAIL)
        if ede and self.load.edes.get(int(ede), 0) != QUESTIONS:
            raise Failed(f"Extended DNS Errors: {self.load.edes}")

    def refused(self, reason):
        self.all_are(dns.rcode.NOERROR)
        asked, done = self.more("queries"), self.more("handshakes")
        if asked or (done and "pin" not in reason):
            raise Failed(f"{asked} questions came, {done} handshakes were completed")
        said = [line for line in self.lab.daemon.log_lines(f"upstream {self.name}: ")
                if "client_cert" not in line]  # not that it has expired
        if len(said) != 1 or not re.search(f"warning: .* unknown -> down: {reason}", said[0]):
            raise Failed(f"in the log: {said}")

    def accepted(self):
        """While a connection opens slowly, the next upstream answers."""
        self.all_are(dns.rcode.NOERROR)
        self.answers(patience=10)

    OUTCOMES = ((ANSWERED, answered), (FAILED, failed), (REFUSED, refused),
                (re.compile("accepted"), accepted))

    def answers(self, patience):
        """The server that is tried gets a question, and its answer arrives."""
        asked = self.counts()["queries"]

        def answered():
            reply = self.lab.daemon.ask(f"t{time.monotonic_ns()}.tried{self.number}.lab")
            return reply.rcode() == 0 and self.counts()["queries"] > asked
        harness.wait_until(answered, patience, 0.1, f"an answer of {self.name}")


def with_pins(lab, settings):
    """{KIND} is the pin of that certificate."""
    maker = certificates.Maker.beside(lab.certificate)
    return re.sub(r"{([^}]+)}", lambda m: "sha256/" + maker.shown(m[1]).pin(), settings)


@word("tried")
def tried(lab, step):
    name = re.search(r"pool \S+ (\w+)", step.text)[1]
    most = 0
    for number, line in enumerate(step.block):
        words = LINE.fullmatch(line)
        if not words:
            raise ValueError(f"not to be tried: {line}")
        wanted = parts(words["wanted"])
        lab.upstreams[name].do("deeds", words["deeds"])
        trial = Trial(lab, name, number, with_pins(
            lab, ", ".join(filter(None, (step.text, words["settings"])))))
        try:
            trial.run(wanted)
            if not REFUSED.fullmatch(wanted[0]) and wanted[0] != "accepted":
                lab.upstreams[name].do("deeds", "honest")
                trial.answers(BACK)
            most = max(most, cpu_of(lab))
        except (AssertionError, TimeoutError) as error:
            lab.problems.append(f"{step.where}: {line}: {error}\n{lab.daemon.log()[-1500:]}")
        lab.finish_daemon()
    lab.notes.append(f"at most {most} ms of CPU")
    lab.daemon = None


def cpu_of(lab):
    """ms of processor time."""
    with open(f"/proc/{lab.daemon.process.pid}/stat", encoding="ascii") as stat:
        user, system = map(int, stat.read().rpartition(")")[2].split()[11:13])
    return (user + system) * 10
