"""Whom the tortured programs ask: one line a protocol. Each server closes a connection that is idle
for a moment, so that every question needs another one.
"""
import ssl

import dnscrypt
import harness
from servers import CA, Certificate, counted, stamp

ADDRESS = "127.0.0.2"
CA_NAME = "torture-ca"
IDLE = 0.005  # after an answer, then it closes
IDLE_CLOSE = "close when idle 0.5s"  # without one, if the question never comes


class Upstream:
    """A server, and how the configuration and the command line name it."""

    def __init__(self, protocol, certificates, directory):
        server, self.url = PROTOCOLS[protocol]
        certificate = Certificate(certificates / "upstream.crt", certificates / "upstream.key")
        self.ca_file = certificates / f"{CA_NAME}.crt"
        self.server = server(certificate, directory)

    def entry(self, **more):
        ca = {"ca_file": str(self.ca_file)} if self.url.startswith(("tls:", "https:")) else {}
        return {"url": self.url, **ca, **more}


def make_certificates(directory):
    """Once for all scenarios."""
    CA(directory, CA_NAME).issue("upstream", [harness.NAME])


def answer_and_close(conn, query, cut=False):
    reply = conn.reply(query, "192.0.2.10")
    if cut and conn.is_datagram:
        reply[2] |= 2  # TC
    conn.frame(reply)
    asked = conn.asked

    def close():
        if conn.open and conn.asked == asked:
            conn.close()
    conn.upstream.later(IDLE, close)


def plain(cut=False):
    """Plaintext on both transports; with `cut` what comes over UDP has to be asked again."""
    def answer(conn, query):
        answer_and_close(conn, query, cut)
    return lambda *_: harness.Upstream(ADDRESS, None, answer, first_deeds=IDLE_CLOSE)


def dot(prepare=None, answer=answer_and_close, deeds=IDLE_CLOSE):
    return lambda certificate, _: harness.Upstream(ADDRESS, certificate, answer, prepare=prepare,
                                                   first_deeds=deeds)


def doh(certificate, directory):
    return harness.Unbound(directory / "unbound", ADDRESS, 853, certificate,
                           extra="tcp-idle-timeout: 10")


PROVIDER = dnscrypt.Provider()
PROVIDER_STAMP = stamp(b"\1" + bytes(8) + counted(ADDRESS.encode()) + counted(PROVIDER.key)
                       + counted(PROVIDER.name.encode()))


class Sealed:
    """DNSCrypt, before a server in plaintext."""

    def __init__(self, directory):
        self.behind = harness.Unbound(directory / "unbound", "127.0.0.3", 53)
        self.server = dnscrypt.Dnscrypt(directory / "dnsdist", ADDRESS, 443, PROVIDER,
                                        [PROVIDER.certificate()], self.behind)

    def start(self):
        self.behind.start()
        self.server.start()

    def stop(self):
        self.server.stop()
        self.behind.stop()


def without_tickets(context):
    context.num_tickets = 0


def old_tls(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2


PROTOCOLS = {
    "dot": (dot(without_tickets), f"tls://{ADDRESS}#{harness.NAME}"),
    "dot-resumed": (dot(), f"tls://{ADDRESS}#{harness.NAME}"),
    "dot-tls12": (dot(old_tls), f"tls://{ADDRESS}#{harness.NAME}"),
    "doh": (doh, f"https://{ADDRESS}/dns-query#{harness.NAME}"),
    "dnscrypt": (lambda _, directory: Sealed(directory), PROVIDER_STAMP),
    "udp": (plain(), f"udp://{ADDRESS}"),
    "udp-cut": (plain(cut=True), f"udp://{ADDRESS}"),
    "tcp": (plain(), f"tcp://{ADDRESS}"),
}
