"""The main job: every kind of answer, through each of three real servers, with real clients."""
import dns.flags
import dns.rcode

from harness import (PRIVYDNS, Daemon, Dnsdist, KnotResolver, SystemTest, Unbound, bind, run, texts)


class Answers:
    """Asked of the daemon through one upstream server; subclasses say which."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        upstream = cls.begin_for_class(cls.make_upstream())
        config = cls.config(cls.entry(upstream))
        cls.privydnsd = cls.begin_for_class(Daemon(cls.path("privydnsd"), config))

    @classmethod
    def entry(cls, server):
        return cls.upstream(server)

    @classmethod
    def backend(cls):
        return cls.begin_for_class(Unbound(cls.path("backend"), "127.0.0.9", 5353))

    def dig(self, *question, tool="dig"):
        done = run(tool, "@127.0.0.1", "+short", *question)
        self.assertEqual(done.returncode, 0, done)
        return sorted(line for line in done.stdout.splitlines() if line and not line.startswith(";;"))

    def test_types_by_dig_and_kdig(self):
        for question, expected in (
                (("www.example", "A"), ["192.0.2.10"]),
                (("www.example", "AAAA"), ["2001:db8::10"]),
                (("www.example", "TXT"), ['"hello from the example zone" "second string"']),
                (("example", "MX"), ["10 mail.example.", "20 backup.example."]),
                (("_sip._tcp.example", "SRV"), ["1 5 5060 www.example."]),
                (("alias1.example", "A"),
                 ["192.0.2.10", "alias2.example.", "alias3.example.", "www.example."]),
                (("xn--bcher-kva.example", "A"), ["192.0.2.77"]),
                (("nothing.example", "A"), []),
                (("onlytxt.example", "A"), [])):
            for tool in ("dig", "kdig"):
                with self.subTest(tool=tool, question=question):
                    self.assertEqual(self.dig(*question, tool=tool), expected)

    def test_https_record(self):
        reply = self.privydnsd.ask("svc.example", "HTTPS")
        self.assertEqual(texts(reply), ['1 . alpn="h2,h3" ipv4hint="192.0.2.10"'])

    def test_nxdomain_and_nodata_bring_the_soa(self):
        for name, rcode in (("nothing.example", "NXDOMAIN"), ("onlytxt.example", "NOERROR")):
            reply = self.privydnsd.ask(name)
            self.assertEqual(dns.rcode.to_text(reply.rcode()), rcode)
            self.assertEqual(reply.answer, [])
            self.assertIn("SOA", reply.authority[0].to_text())

    def test_header_of_an_answer(self):
        reply = self.privydnsd.ask("www.example")
        self.assertTrue(reply.flags & dns.flags.RA and reply.flags & dns.flags.RD)
        self.assertFalse(reply.flags & (dns.flags.AA | dns.flags.AD | dns.flags.TC))
        self.assertEqual(reply.edns, -1)
        self.assertEqual(self.privydnsd.ask("www.example", use_edns=0).payload, 1232)

    def test_letter_case_comes_back(self):
        for name in ("wWw.eXaMPlE.", "WWW.example.", "www.EXAMPLE."):
            reply = self.privydnsd.ask(name)
            self.assertEqual(reply.question[0].name.to_text(), name)
            self.assertEqual(texts(reply), ["192.0.2.10"])

    def test_large_answers_are_cut_over_udp_and_whole_over_tcp(self):
        for name, count in (("big4k.example", 14), ("big60k.example", 224)):
            with self.subTest(name=name):
                reply = self.privydnsd.ask(name, "TXT", use_edns=0, payload=4096)
                self.assertTrue(reply.flags & dns.flags.TC)
                self.assertEqual(reply.answer, [])
                whole = self.privydnsd.ask(name, "TXT", tcp=True)
                self.assertFalse(whole.flags & dns.flags.TC)
                self.assertEqual(len(texts(whole)), count)
                self.assertEqual([int(t[1:5]) for t in texts(whole)], list(range(count)))

    def test_dig_goes_to_tcp_by_itself(self):
        self.assertEqual(len(self.dig("big60k.example", "TXT")), 224)
        self.assertEqual(len(self.dig("big4k.example", "TXT", tool="kdig")), 14)

    def test_getent_through_resolv_conf(self):
        resolv = self.dir / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\n")
        bind(resolv, "/etc/resolv.conf")
        nsswitch = self.dir / "nsswitch.conf"
        nsswitch.write_text("hosts: dns\n")
        bind(nsswitch, "/etc/nsswitch.conf")
        try:
            found = run("getent", "ahosts", "www.example")
            self.assertEqual({line.split()[0] for line in found.stdout.splitlines()},
                             {"192.0.2.10", "2001:db8::10"})
            self.assertIn("192.0.2.10", run("getent", "ahosts", "alias1.example").stdout)
            self.assertEqual(run("getent", "ahosts", "nothing.example").returncode, 2)
        finally:
            run("umount", "/etc/nsswitch.conf")
            run("umount", "/etc/resolv.conf")

    def test_our_own_lookup_program(self):
        done = run(PRIVYDNS, "-u", "udp://127.0.0.1", "--short", "www.example")
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "192.0.2.10"), done)

    def test_second_question_has_the_same_answer(self):
        name = "cached.wild.example"
        first = self.privydnsd.ask(name)
        second = self.privydnsd.ask(name)
        self.assertEqual(texts(first), texts(second))
        self.assertLessEqual(second.answer[0].ttl, first.answer[0].ttl)


class ThroughUnbound(Answers, SystemTest):
    @classmethod
    def make_upstream(cls):
        return Unbound(cls.path("unbound"), "127.0.0.2", 853, cls.certificate)


class ThroughDnsdist(Answers, SystemTest):
    @classmethod
    def make_upstream(cls):
        return Dnsdist(cls.path("dnsdist"), "127.0.0.3", 853, cls.certificate, cls.backend())


class ThroughKnotResolver(Answers, SystemTest):
    @classmethod
    def make_upstream(cls):
        return KnotResolver(cls.path("kresd"), "127.0.0.4", 853, cls.certificate, cls.backend())


class OverHttps:
    method = "post"

    @classmethod
    def entry(cls, server):
        return cls.doh_upstream(server, method=cls.method)


class OverHttpsThroughUnbound(OverHttps, ThroughUnbound):
    pass


class OverHttpsThroughDnsdist(OverHttps, ThroughDnsdist):
    pass


class OverHttpsThroughKnotResolver(OverHttps, ThroughKnotResolver):
    pass


class OverHttpsByGet(OverHttps, ThroughUnbound):
    method = "get"


class OverHttpsByGetThroughDnsdist(OverHttps, ThroughDnsdist):
    method = "get"


class OverHttpsByGetThroughKnotResolver(OverHttps, ThroughKnotResolver):
    method = "get"
