"""Who is at the other end of real servers: certificates, pins, resumption."""
import dns.rcode

from harness import NAME, Daemon, SystemTest, connections, http_get, wait_until
from servers import Dnsdist, Unbound


class GoodCertificates(SystemTest):
    def test_address_in_the_certificate(self):
        upstream = self.unbound(certificate=self.ca.issue("ip", ["127.0.0.2"]))
        self.assert_answers(self.daemon(self.upstream(upstream, name="")))

    def test_a_pin_of_several_matches(self):
        other = self.ca.issue("backup", [NAME])
        pins = [f"sha256/{other.pin()}", f"sha256/{self.certificate.pin()}"]
        self.assert_answers(self.daemon(self.upstream(self.unbound(), pins=pins)))

    def test_tls_name(self):
        upstream = self.unbound()
        entry = {"url": f"tls://{upstream.address}", "tls_name": NAME,
                 "ca_file": str(self.ca.crt)}
        self.assert_answers(self.daemon(entry))

    def test_ipv6_upstream(self):
        upstream = self.begin(Unbound(self.path("unbound"), "::1", 853, self.certificate))
        entry = {"url": f"tls://[::1]#{NAME}", "ca_file": str(self.ca.crt)}
        self.assert_answers(self.daemon(entry))
        upstream.stop()


class Resumption(SystemTest):
    """Counted at the server."""

    ROUNDS = 20

    def reconnect(self, daemon, label, closed):
        """Ask, wait until the connection is gone, again."""
        for i in range(self.ROUNDS + 1):
            self.assert_answers(daemon, f"{label}{i}.wild.example", ["192.0.2.99"])
            closed(i + 1)

    def test_scripted_server_closes_after_each_answer(self):
        def answer(conn, query):
            conn.answer(query, address="192.0.2.99")
            conn.close()

        peer = self.scripted(answer)
        daemon = self.daemon(peer)
        self.reconnect(daemon, "r", lambda n: None)
        self.assertGreaterEqual(peer.handshakes, self.ROUNDS)
        self.assertGreaterEqual(peer.resumed, (peer.handshakes - 1) * 19 // 20)

    def test_unbound_counts_resumed_sessions(self):
        upstream = self.unbound(extra="tcp-idle-timeout: 100\nedns-tcp-keepalive: no")
        daemon = self.daemon(upstream)

        def closed(_):
            wait_until(lambda: not connections(upstream), 5)

        self.reconnect(daemon, "u", closed)
        found = upstream.statistics()
        resumed = int(found["num.query.tls.resume"])
        self.assertGreaterEqual(resumed, self.ROUNDS * 19 // 20, found)

    def test_dnsdist_counts_resumed_sessions(self):
        backend = self.begin(Unbound(self.path("backend"), "127.0.0.9", 5353))
        upstream = self.begin(Dnsdist(
            self.path("dnsdist"), "127.0.0.3", 853, self.certificate, backend,
            "setTCPRecvTimeout(1)\nwebserver('127.0.0.1:8083')\n"
            "setWebserverConfig({password='x', apiKey='x', statsRequireAuthentication=false})"))
        daemon = self.daemon(upstream)
        # dnsdist's shortest idle time is a second. It gives two tickets with a full handshake and none
        # with a resumed one; each is used once, so two of three resume.
        self.ROUNDS = 3
        self.reconnect(daemon, "d", lambda _: wait_until(lambda: not connections(upstream), 5))
        metrics = http_get("127.0.0.1", 8083, "/metrics")
        resumed = [line for line in metrics.splitlines()
                   if line.startswith("dnsdist_frontend_tlsresumptions")]
        self.assertEqual(float(resumed[0].split()[-1]), 2, resumed)

    def test_a_pin_holds_on_a_resumed_session_too(self):
        """A reload with another pin does not use the old tickets."""
        upstream = self.unbound()
        other = self.ca.issue("otherpin", [NAME])
        config = self.config(self.upstream(upstream, pins=[f"sha256/{self.certificate.pin()}"]))
        daemon = self.begin(Daemon(self.path("privydnsd"), config))
        self.assert_answers(daemon, "one.wild.example", ["192.0.2.99"])
        daemon.write(self.config(self.upstream(upstream, pins=[f"sha256/{other.pin()}"]),
                                 query={"deadline": "1s"}))
        daemon.send(1)
        daemon.wait_log("(?i)reload")
        reply = daemon.ask("two.wild.example", use_edns=0)
        self.assertEqual(dns.rcode.to_text(reply.rcode()), "SERVFAIL")
