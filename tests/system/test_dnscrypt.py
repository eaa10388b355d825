"""DNSCrypt through dnsdist: every kind of answer, both constructions, with and without datagrams;
certificates that change under load, and certificates that are refused."""
import re
import threading
import time

import dns.rcode

from dnscrypt import DAY, XCHACHA, XSALSA, Dnscrypt, Provider, TcpOnly
from harness import SystemTest, Unbound, connections, ede, run, texts, wait_until
from test_answers import Answers

COUNT = 10000
SERVER = "127.0.0.3"
PORT = 8443


class ThroughDnsdist(Answers):
    """Over UDP, and over TCP what is too large for it."""
    construction = XCHACHA

    @classmethod
    def make_upstream(cls):
        provider = Provider()
        return Dnscrypt(cls.path("dnscrypt"), SERVER, PORT, provider,
                        [provider.certificate(cls.construction)], cls.backend())

    @classmethod
    def entry(cls, server):
        return server.provider.entry(server)


class XChaCha20(ThroughDnsdist, SystemTest):
    pass


class XSalsa20(ThroughDnsdist, SystemTest):
    construction = XSALSA

    def test_the_older_construction_is_told_of(self):
        self.assertEqual(len(self.privydnsd.log_lines("warning.*XSalsa20|XSalsa20")), 1)


class NoDatagrams:
    """None gets through to the server."""

    @classmethod
    def make_upstream(cls):
        server = cls.begin_for_class(super().make_upstream())
        return TcpOnly(cls.path("tcp-only"), "127.0.0.5", PORT, server)


class XChaCha20OverTcp(NoDatagrams, ThroughDnsdist, SystemTest):
    pass


class XSalsa20OverTcp(NoDatagrams, ThroughDnsdist, SystemTest):
    construction = XSALSA


class Dnscrypted(SystemTest):
    def serve(self, *certificates, provider=None, **options):
        """dnsdist with these certificates, or a good one."""
        self.provider = provider or Provider()
        backend = self.begin(Unbound(self.path("backend"), "127.0.0.9", 5353, **options))
        return self.begin(Dnscrypt(self.path("dnscrypt"), SERVER, PORT, self.provider,
                                   certificates or [self.provider.certificate()], backend))

    def ask_through(self, server, *more, **options):
        entry = self.provider.entry(server, **options.pop("entry", {}))
        return self.daemon(entry, *more, **options)


class Load(Dnscrypted):
    def dnsperf(self, label, count, *options):
        names = self.dir / f"names-{label}"
        names.write_text("".join(f"{label}{i}.wild.example A\n" for i in range(count)))
        done = run("dnsperf", "-s", "127.0.0.1", "-d", names, "-n", "1", *options, timeout=60)
        found = {key: int(value) for key, value in
                 re.findall(r"Queries (sent|completed|lost): +(\d+)", done.stdout)}
        self.assertEqual(found, {"sent": count, "completed": count, "lost": 0}, done.stdout)
        codes = re.search(r"Response codes: +(.*)", done.stdout).group(1)
        self.assertEqual(codes, f"NOERROR {count} (100.00%)")

    def test_none_lost(self):
        self.ask_through(self.serve(), level="notice")
        self.dnsperf("a", COUNT, "-q", "100")

    def test_none_lost_with_a_key_for_each_query(self):
        self.ask_through(self.serve(), level="notice", entry={"ephemeral_keys": True})
        self.dnsperf("b", 3000, "-q", "100")

    def test_the_certificate_rotates_under_load(self):
        """Twice with notice: the old key is good until its certificate ends; once without."""
        provider = Provider()
        server = self.serve(provider.certificate(end=12), provider=provider)
        daemon = self.ask_through(server, level="info")
        load = self.background("c", 22000, "-Q", "1000")
        server.show("1", *provider.certificate(serial=2, end=18), hide=[1])
        daemon.wait_log("certificate with serial 2", 15)
        server.show("2", *provider.certificate(serial=3, end=DAY), hide=[2])
        daemon.wait_log("certificate with serial 3", 20)
        server.replace(*provider.certificate(serial=4, end=DAY))
        daemon.wait_log("certificate with serial 4")
        load()

    def background(self, label, count, *options):
        """Load that begins now; to be called when it is to have ended."""
        failed = []

        def work():
            try:
                self.dnsperf(label, count, *options)
            except AssertionError as error:
                failed.append(error)
        thread = threading.Thread(target=work)
        thread.start()

        def join():
            thread.join()
            if failed:
                raise failed[0]
        return join


class Refused(Dnscrypted):
    """Nothing is sealed for who cannot show a good certificate, and the reason is told."""

    def refuse(self, server, reason, **entry):
        daemon = self.ask_through(server, level="info", entry=entry)
        reply = daemon.ask("www.example", use_edns=0)
        self.assertEqual(dns.rcode.to_text(reply.rcode()), "SERVFAIL")
        self.assertIn(reason, ede(reply)[0][1])
        self.assertEqual(len(daemon.log_lines("down: .*" + re.escape(reason))), 1, daemon.log())
        return daemon

    def test_expired(self):
        """From then on nothing is sent to it."""
        provider = Provider()
        ends = time.time() + 8
        server = self.serve(provider.certificate(end=8), provider=provider)
        daemon = self.ask_through(server, level="info")
        self.assert_answers(daemon)
        day = time.strftime("%Y-%m-%d", time.gmtime(ends))
        daemon.wait_log(f"down: certificate expired on {day}: check the clock", 20)
        reply = daemon.ask("a.wild.example", use_edns=0)
        self.assertEqual(dns.rcode.to_text(reply.rcode()), "SERVFAIL")
        self.assertEqual(len(daemon.log_lines("down: ")), 1, daemon.log())

    def test_wrong_provider_key(self):
        self.refuse(self.serve(), "no certificate signed by the provider key",
                    provider_key=Provider().key.hex())

    def test_bad_signature(self):
        provider = Provider()
        self.refuse(self.serve(provider.certificate(spoilt=True), provider=provider),
                    "no certificate signed by the provider key")

    def test_wrong_provider_name(self):
        self.refuse(self.serve(), "no certificate", provider_name="2.dnscrypt-cert.other")

    def test_the_older_construction_is_not_wanted(self):
        provider = Provider()
        self.refuse(self.serve(provider.certificate(XSALSA), provider=provider),
                    "allow_xsalsa", allow_xsalsa=False)

    def test_a_good_one_among_others_is_taken(self):
        provider = Provider()
        server = self.serve(provider.certificate(serial=9, spoilt=True),
                            provider.certificate(serial=8, end=-1),
                            provider.certificate(serial=3), provider=provider)
        daemon = self.ask_through(server, level="info")
        self.assert_answers(daemon)
        self.assertEqual(len(daemon.log_lines("certificate with serial 3")), 1)

    def test_serial_goes_backwards(self):
        """The one in use serves to its end, then nothing does."""
        provider = Provider()
        server = self.serve(provider.certificate(serial=5, end=12), provider=provider)
        daemon = self.ask_through(server, level="info")
        self.assert_answers(daemon)
        server.show("1", *provider.certificate(serial=4), hide=[5])
        reason = "certificate serial goes backwards: 4 after 5"
        daemon.wait_log("kept: " + reason, 12)
        self.assert_answers(daemon, "a.wild.example", ["192.0.2.99"])
        daemon.wait_log("down: ", 20)
        reply = wait_until(lambda: next((r for r in [daemon.ask("b.wild.example", use_edns=0)]
                                         if ede(r)), None), what="an error")
        self.assertIn(reason, ede(reply)[0][1])
        self.assertEqual(len(daemon.log_lines("kept: ")), 1)
        server.show("2", *provider.certificate(serial=6), hide=[4])
        wait_until(lambda: texts(daemon.ask("c.wild.example")) == ["192.0.2.99"], what="an answer")


class Quiet(Dnscrypted):
    def test_a_connection_over_tcp_is_for_one_question(self):
        server = self.serve()
        daemon = self.ask_through(server)
        for _ in range(3):
            self.assertEqual(len(texts(daemon.ask("big60k.example", "TXT", tcp=True))), 224)
        wait_until(lambda: not connections(server), what="they are closed")
