"""What clients send: every vector over UDP and TCP; what is answered here, and by which pool."""
import json

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from harness import (SOURCE, Daemon, SystemTest, Unbound, Upstream, ede, honest, read_frame,
                     send_frame, texts)

VECTORS = json.loads((SOURCE / "tests" / "vectors" / "dns-messages.json").read_text())


class ClientQueries(SystemTest):
    """Against the live daemon; a real answer or SERVFAIL both show that a query was forwarded."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = cls.begin_for_class(Upstream("127.0.0.2", cls.certificate, honest))
        # nothing cached: what one vector asks must not answer another
        config = cls.config(cls.peer, cache={"size": 0})
        cls.privydnsd = cls.begin_for_class(Daemon(cls.path("privydnsd"), config))

    def tcp(self, message):
        """The reply over TCP: octets, or None where the daemon closed instead."""
        with self.privydnsd.connect() as s:
            send_frame(s, message)
            try:
                return read_frame(s)
            except ConnectionResetError:
                return None

    def check(self, vector, reply, udp):
        """Holds the reply against what the vector expects."""
        expect, query = vector["expect"], bytes.fromhex(vector["hex"])
        action = expect["action"]
        if action in ("drop", "close"):
            self.assertIsNone(reply)
        elif action in ("respond", "cache_only"):
            self.assertEqual(reply and reply.hex(), expect["response_hex"])
        else:  # forward, forward_opaque
            self.assertIsNotNone(reply)
            self.assertEqual(reply[:2], query[:2])
            self.assertTrue(reply[2] & 0x80)
            self.assertIn(reply[3] & 15, (0, 2, 3), "not forwarded")
        if udp and reply:
            self.assertLessEqual(len(reply), 1232)

    def test_still_alive(self):
        self.assertEqual(texts(self.privydnsd.ask("alive.example")), ["192.0.2.10"])


def wait_for(action):
    return 0.3 if action == "drop" else 3


def add_client_queries():
    for vector in VECTORS["client_queries"]:
        def over_udp(self, v=vector):
            reply = self.privydnsd.raw(bytes.fromhex(v["hex"]), wait_for(v["expect"]["action"]))
            self.check(v, reply, True)

        def over_tcp(self, v=vector):
            self.check(v, self.tcp(bytes.fromhex(v["hex"])), False)

        label = f"test_{vector['id']}_"
        if vector["transport"] in ("udp", "both", "any"):
            setattr(ClientQueries, label + "udp", over_udp)
        if vector["transport"] in ("tcp", "both", "any"):
            setattr(ClientQueries, label + "tcp", over_tcp)


add_client_queries()


class LocalZones(SystemTest):
    """Special-use names, asked of a daemon whose upstream must never see them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = cls.begin_for_class(Upstream("127.0.0.2", cls.certificate, honest))
        cls.privydnsd = cls.begin_for_class(Daemon(cls.path("privydnsd"), cls.config(cls.peer)))

    def check(self, vector):
        expect = vector["expect"]
        before = self.peer.asked(vector["qname"])
        reply = dns.message.from_wire(self.privydnsd.raw(bytes.fromhex(vector["hex"])))
        asked = self.peer.asked(vector["qname"]) - before
        self.assertEqual(asked, 0 if expect["action"] == "respond" else 1)
        if expect["action"] != "respond":
            return
        self.assertEqual(reply.rcode(), expect["rcode"])
        self.assertEqual(bool(reply.flags & dns.flags.AA), bool(expect["aa"]))
        self.assertEqual(bool(reply.flags & dns.flags.RA), bool(expect["ra"]))
        for section in ("answer", "authority"):
            self.assertEqual(records(getattr(reply, section)), wanted(expect[section]), section)


def records(section):
    return sorted((str(rrset.name).lower(), rrset.ttl, dns.rdatatype.to_text(rrset.rdtype),
                   rr.to_text()) for rrset in section for rr in rrset)


def wanted(rows):
    return sorted(parse_row(row) for row in rows)


def parse_row(row):
    if isinstance(row, dict):
        return (row["name"].lower(), row["ttl"], row["type"], row["rdata"])
    name, ttl, _, rdtype, rdata = row.split(None, 4)
    return (name.lower(), int(ttl), rdtype, rdata)


for each in VECTORS["local_zones"]:
    setattr(LocalZones, f"test_{each['id']}", lambda self, v=each: self.check(v))


class Truncation(SystemTest):
    """Upstream's answer as given; the reply to the client octet for octet."""

    def check(self, vector):
        upstream = bytes.fromhex(vector["upstream_hex"])

        def answer(conn, query):
            if query[12]:
                conn.frame(query[:2] + upstream[2:])
            else:
                honest(conn, query)

        daemon = self.daemon(self.scripted(answer))
        reply = daemon.raw(bytes.fromhex(vector["client_query_hex"]))
        self.assertEqual(reply and reply.hex(), vector["expect_hex"])


for each in VECTORS["truncation"]:
    setattr(Truncation, f"test_{each['id']}", lambda self, v=each: self.check(v))


class Keepalive(SystemTest):
    def test_offered_over_tcp_only(self):
        daemon = self.daemon(self.scripted())
        option = dns.edns.GenericOption(11, b"")
        reply = daemon.ask("keep.example", tcp=True, use_edns=0, options=[option])
        found = [o.to_wire() for o in reply.options if int(o.otype) == 11]
        self.assertEqual(found, [b"\0\x64"])
        reply = daemon.ask("keep.example", use_edns=0, options=[option])
        self.assertEqual([o for o in reply.options if int(o.otype) == 11], [])


class WithoutRecursion(SystemTest):
    def test_only_what_is_cached(self):
        peer = self.scripted()
        daemon = self.daemon(peer)
        query = dns.message.make_query("rd.example", "A", use_edns=0)
        query.flags &= ~dns.flags.RD
        reply = dns.message.from_wire(daemon.raw(query.to_wire()))
        self.assertEqual(reply.rcode(), dns.rcode.REFUSED)
        self.assertEqual([code for code, _ in ede(reply)], [20])
        self.assertEqual(peer.asked("rd.example"), 0)
        self.assert_answers(daemon, "rd.example")
        reply = dns.message.from_wire(daemon.raw(query.to_wire()))
        self.assertEqual(texts(reply), ["192.0.2.10"])
        self.assertEqual(peer.asked("rd.example"), 1)


class Routes(SystemTest):
    def test_longest_zone_wins(self):
        def answering(address):
            return lambda conn, query: conn.answer(query, address=address)
        default = self.scripted(answering("192.0.2.1"))
        corp = self.scripted(answering("192.0.2.2"), "127.0.0.3")
        lab = self.scripted(answering("192.0.2.3"), "127.0.0.4")
        config = self.config(default)
        config["pools"]["corp"] = {"upstreams": [self.upstream(corp)]}
        config["pools"]["lab"] = {"upstreams": [self.upstream(lab)]}
        config["routes"] = [{"zones": ["corp.example"], "pool": "corp"},
                            {"zones": ["lab.corp.example", "test"], "pool": "lab"}]
        daemon = self.begin(Daemon(self.path("privydnsd"), config))
        for name, address in (("a.example", "192.0.2.1"), ("corp.example", "192.0.2.2"),
                              ("A.Corp.Example", "192.0.2.2"), ("x.lab.corp.example", "192.0.2.3"),
                              ("notcorp.example", "192.0.2.1"), ("a.test", "192.0.2.3")):
            self.assertEqual(texts(daemon.ask(name)), [address], name)

    def test_plaintext_only_where_the_pool_says_so(self):
        plain = self.begin(Unbound(self.path("plain"), "127.0.0.9", 5353))
        config = self.config("127.0.0.2")
        config["pools"]["office"] = {"upstreams": ["udp://127.0.0.9:5353"], "plaintext": True}
        config["routes"] = [{"zones": ["example"], "pool": "office"}]
        daemon = self.begin(Daemon(self.path("privydnsd"), config))
        self.assert_answers(daemon)
        self.assertEqual(len(texts(daemon.ask("big60k.example", "TXT", tcp=True))), 224)
        plain.stop()
