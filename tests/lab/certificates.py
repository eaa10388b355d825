"""Certificates that a server, or a client, may show, good and bad, made where they are needed:
KINDS has them all.

Those of servers are for dot.example, and signed by the authority that the daemon trusts, where
nothing else is said. A new kind is one entry.
"""
import fcntl
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "system")]

from servers import Certificate, openssl  # noqa: E402

NAME = "dot.example"
PAST = ("20200101000000Z", "20200201000000Z")
FUTURE = ("20890101000000Z", "20900101000000Z")
SERVER = ("basicConstraints=CA:FALSE",)
AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",
             "subjectKeyIdentifier=hash")
KINDS = {}


def names(*sans):
    return SERVER + ("subjectAltName=" + ",".join(sans),)


GOOD = names("DNS:" + NAME)


class Issuer:
    """A certificate with its key and, behind it, those to be sent along."""

    def __init__(self, crt, key, chain=()):
        self.crt, self.key, self.chain = Path(crt), Path(key), list(chain)


class Maker:
    """Makes them in a directory below that of `root`, the authority that is trusted."""

    def __init__(self, root):
        self.root = root
        self.dir = root.crt.parent / "kinds"

    @classmethod
    def beside(cls, certificate):
        """Of the same authority as this one."""
        ca = certificate.crt.parent / "throw-away-ca.crt"
        return cls(Issuer(ca, ca.with_suffix(".key")))

    def key(self, label, algorithm):
        path = self.dir / f"{label}.key"
        words = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "EC" \
            else ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{algorithm}"]
        openssl("genpkey", *words, "-out", path)
        return path

    def make(self, label, extensions=GOOD, issuer=None, subject=None, algorithm="EC",
             digest="sha256", span=None, own=False):
        """A certificate signed by issuer (None: the root; own: itself)."""
        key = self.key(label, algorithm)
        issuer = issuer or self.root
        request, crt = self.dir / f"{label}.csr", self.dir / f"{label}.crt"
        settings = self.dir / f"{label}.cnf"
        settings.write_text(f"""[ca]
default_ca = d
[d]
database = {label}.db
new_certs_dir = .
default_md = {digest}
policy = any
unique_subject = no
rand_serial = yes
x509_extensions = x
[any]
commonName = optional
[req]
distinguished_name = dn
[dn]
[x]
""" + "\n".join(extensions) + "\n")
        (self.dir / f"{label}.db").write_text("")
        openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN={subject or label}",
                "-config", settings)
        signer = ["-selfsign", "-keyfile", key] if own else \
            ["-cert", issuer.crt, "-keyfile", issuer.key]
        openssl("ca", "-batch", "-notext", "-config", settings, "-in", request, "-out", crt,
                *signer, *(["-startdate", span[0], "-enddate", span[1]] if span else
                           ["-days", "20"]), cwd=self.dir)
        return Issuer(crt, key, [] if own or issuer is self.root else [issuer, *issuer.chain])

    def authority(self, label, issuer=None, own=False, more=(), **options):
        return self.make(label, AUTHORITY + tuple(more), issuer, own=own, **options)

    def deep(self, count):
        """A leaf below so many authorities."""
        issuer = None
        for i in range(count):
            issuer = self.authority(f"below{i}", issuer)
        return self.make("deep", issuer=issuer)

    def shown(self, kind):
        """The certificate of this kind, as a server loads it: one file, the chain in it."""
        self.dir.mkdir(exist_ok=True)
        whole = self.dir / (kind.replace(" ", "-") + ".pem")
        with open(self.dir / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # upstreams of one scenario share the directory
            key = whole.with_suffix(".key.pem")
            if not whole.exists():
                made, sent = KINDS[kind](self)
                key.write_bytes(made.key.read_bytes())
                whole.write_bytes(b"".join(each.crt.read_bytes() for each in [made, *sent]))
        return Certificate(whole, key)


    def clients_root(self):
        """Another authority, for clients."""
        self.shown("client of another authority")
        return self.dir / "clients-root.crt"

    def revoked(self):
        """What the root has taken back."""
        self.shown("revoked client")
        return self.dir / "revoked.crl"


def kind(name, along=None):
    """Adds one: a function that makes it; along: in place of its chain, what is sent with it."""
    def add(function):
        def both(maker):
            made = function(maker)
            return made, made.chain if along is None else along(maker, made)
        KINDS[name] = both
        return function
    return add


def nothing(*_):
    return []


def simple(name, **options):
    kind(name)(lambda m: m.make(name.replace(" ", "-"), **options))


simple("good")
simple("another name", extensions=names("DNS:other.example"))
simple("common name only", extensions=SERVER, subject=NAME)
simple("right common name", extensions=names("DNS:other.example"), subject=NAME)
simple("wildcard", extensions=names("DNS:*.wild.example"))
simple("part of a wildcard", extensions=names("DNS:d*.wild.example"))
simple("wildcard for a top level", extensions=names("DNS:*.example"))
simple("IDN", extensions=names("DNS:xn--bcher-kva.example"))
simple("NUL in the name", extensions=SERVER + (
    "subjectAltName=DER:301A8218" + (NAME.encode() + b"\0.evil.example"[:13]).hex(),))
simple("its address", extensions=names("IP:127.0.0.2"))
simple("another address", extensions=names("IP:127.0.0.77"))
simple("its address as a name", extensions=names("DNS:127.0.0.2"))
simple("expired", span=PAST)
simple("not yet valid", span=FUTURE)
simple("for clients only", extensions=GOOD + ("extendedKeyUsage=clientAuth",))
simple("for servers only", extensions=GOOD + ("extendedKeyUsage=serverAuth",))
simple("self-signed", own=True)
simple("another key")
simple("RSA 1024", algorithm=1024)
simple("RSA 2048", algorithm=2048)
simple("SHA-1", digest="sha1")
simple("unknown critical extension", extensions=GOOD + ("1.2.3.4=critical,ASN1:NULL",))


@kind("unknown authority")
def unknown_authority(m):
    return m.make("stranger", issuer=m.authority("another-root", own=True))


@kind("unknown authority not sent", along=nothing)
def unknown_authority_not_sent(m):
    return unknown_authority(m)


@kind("intermediate")
def intermediate(m):
    return m.make("below", issuer=m.authority("middle"))


@kind("intermediate not sent", along=nothing)
def intermediate_not_sent(m):
    return intermediate(m)


@kind("signed by a server")
def signed_by_a_server(m):
    return m.make("by-a-server", issuer=m.make("no-authority"))


@kind("expired authority")
def expired_authority(m):
    return m.make("below-expired", issuer=m.authority("expired-middle", span=PAST))


@kind("authority for another zone")
def constrained(m):
    return m.make("below-constrained", issuer=m.authority(
        "constrained", more=["nameConstraints=critical,permitted;DNS:other.example"]))


for depth in (4, 8, 50):
    kind(f"chain of {depth}")(lambda m, depth=depth: m.deep(depth))


@kind("100 KiB along", along=lambda m, made: [
    Issuer(m.make("big", GOOD + ("nsComment=" + "x" * 8000,)).crt, made.key)] * 9)
def huge_chain(m):
    return m.make("before-much")


@kind("a million name checks")
def many_constraints(m):
    section = ["nameConstraints=critical,@zones", "[zones]"]
    section += [f"excluded;DNS.{i}=z{i}.a" for i in range(1060)]
    return m.make("below-many", names(*(f"DNS:n{i}.a" for i in range(1000)), "DNS:" + NAME),
                  issuer=m.authority("many-constraints", more=section))


# ---- of clients ----

simple("client one", extensions=SERVER)
simple("client two", extensions=SERVER)
simple("expired client", extensions=SERVER, span=PAST)
simple("client not yet valid", extensions=SERVER, span=FUTURE)
simple("client of RSA", extensions=SERVER, algorithm=2048)


@kind("client of another authority")
def client_of_another_authority(m):
    return m.make("client-of-another", SERVER, issuer=m.authority("clients-root", own=True))


@kind("client of an expired authority")
def client_of_an_expired_authority(m):
    return m.make("client-of-expired", SERVER, issuer=m.authority("expired-clients", span=PAST))


@kind("client of an authority for servers")
def client_of_an_authority_for_servers(m):
    return m.make("client-of-servers", SERVER, issuer=m.authority(
        "servers-only", more=["extendedKeyUsage=serverAuth"]))


@kind("revoked client")
def revoked_client(m):
    made = m.make("revoked-client", SERVER)
    words = ["-config", m.dir / "revoked-client.cnf", "-cert", m.root.crt, "-keyfile", m.root.key]
    openssl("ca", *words, "-revoke", made.crt, cwd=m.dir)
    openssl("ca", *words, "-gencrl", "-crldays", "20", "-out", m.dir / "revoked.crl", cwd=m.dir)
    return made
