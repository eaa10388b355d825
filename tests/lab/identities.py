"""Words about our own certificates, for servers that want to see one.

    identity  me client one, you expired client     files of these kinds (certificates.py)
    daemon    pool ordered a, a.identity me         shown to a

    rotate me client two                    certificate and key are written anew
    rotate me client two by link            at once, as Kubernetes does it
    rotate me client two with the key 300ms later
    rotate me client two without the key    they do not belong together any more
    rotations 100 of me, client one, client two     each when the one before it has been seen

    expect a saw client-one 3               handshakes that showed it, resumed ones too; nobody: none
    expect a resumed client-one 2           of these
    expect a saw client-one then client-two     in this order, and no one else
    expect full handshakes a 2              those that resumed no session
"""
import re
import time

import certificates
import harness
from checks import COMPARED, Failed, check, compare
from scenario import TIME, parts, seconds, word

PATIENCE = 10  # s, until a change has been seen


class Identity:
    """Files; once they have been written by link, always so."""

    def __init__(self, lab, name):
        self.dir = lab.dir / f"identity-{name}"
        self.dir.mkdir()
        self.crt, self.key = self.dir / "tls.crt", self.dir / "tls.key"
        self.maker = certificates.Maker.beside(lab.certificate)

    @staticmethod
    def put(target, source):
        """In place, as cp(1) does it."""
        if not target.exists():
            target.touch(0o600)
        target.write_bytes(source.read_bytes())

    def write(self, kind, pause=0.0, key=True):
        made = self.maker.shown(kind)
        self.put(self.crt, made.crt)
        time.sleep(pause)
        if key:
            self.put(self.key, made.key)

    def link(self, kind):
        made = self.maker.shown(kind)
        version = self.dir / f"..{len(list(self.dir.iterdir()))}"
        version.mkdir()
        for path, source in ((self.crt, made.crt), (self.key, made.key)):
            self.put(version / path.name, source)
        self.point("..data", version.name)
        for path in (self.crt, self.key):
            if not path.is_symlink():
                self.point(path.name, f"..data/{path.name}")

    def point(self, name, target):
        (self.dir / "..new").symlink_to(target)
        (self.dir / "..new").rename(self.dir / name)


@word("identity")
def identity(lab, step):
    for part in parts(step.text):
        name, kind = part.split(maxsplit=1)
        one = Identity(lab, name)
        if kind.endswith(" by link"):
            one.link(kind[:-len(" by link")])
        else:
            one.write(kind)
        lab.identities[name] = one


ROTATE = re.compile(r"(?P<name>\S+) (?P<kind>.+?)(?: (?:(?P<link>by link)|with the key (?P<pause>"
                    + TIME + r") later|(?P<without>without the key)))?")


@word("rotate")
def rotate(lab, step):
    words = ROTATE.fullmatch(step.text)
    one = lab.identities[words["name"]]
    if words["link"]:
        one.link(words["kind"])
    else:
        one.write(words["kind"], seconds(words["pause"]) if words["pause"] else 0,
                  not words["without"])


@word("rotations", beside=True)
def rotations(lab, step):
    """Seen by every upstream that shows it."""
    words = re.fullmatch(r"(\d+) of (\S+)", parts(step.text)[0])
    one, kinds = lab.identities[words[2]], parts(step.text)[1:]
    for number in range(int(words[1])):
        kind = kinds[number % len(kinds)]
        begun = seen(lab, name_of(kind))
        one.link(kind)
        harness.wait_until(lambda: seen(lab, name_of(kind)) > begun, PATIENCE,
                           what=f"rotation {number}")


def name_of(kind):
    return kind.replace(" ", "-")


def seen(lab, name):
    return sum(handshakes_of(lab, each, name)[0] for each in lab.upstreams)


def handshakes_of(lab, upstream, name):
    """In all, and resumed."""
    runs = [run for run in lab.upstreams[upstream].do("counts")["clients"] if run[0] == name]
    return sum(run[1] for run in runs), sum(run[2] for run in runs)


@check(r"(?P<upstream>\S+) (?P<what>saw|resumed) (?P<name>\S+)" + COMPARED)
def saw(lab, upstream, what, name, op, value):
    compare(handshakes_of(lab, upstream, name)[what == "resumed"], op, int(value))


@check(r"(?P<upstream>\S+) saw (?P<names>\S+(?: then \S+)+)")
def saw_in_order(lab, upstream, names):
    found = [run[0] for run in lab.upstreams[upstream].do("counts")["clients"]]
    if found != names.split(" then "):
        raise Failed(" then ".join(found))


@check(r"full handshakes (?P<upstream>\S+)" + COMPARED)
def full_handshakes(lab, upstream, op, value):
    counts = lab.upstreams[upstream].do("counts")
    compare(counts["handshakes"] - counts["resumed"], op, int(value))
