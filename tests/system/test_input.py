"""What clients send: every vector over UDP and TCP, and the manners of the TCP side."""
import json
import socket
import struct

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from harness import SOURCE, Daemon, SystemTest, Unbound, ede, read_frame, send_frame, texts
from peer import Peer

VECTORS = json.loads((SOURCE / "tests" / "vectors" / "dns-messages.json").read_text())


class ClientQueries(SystemTest):
    """Against the live daemon; a real answer or SERVFAIL both show that a query was forwarded."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = cls.begin_for_class(Peer("127.0.0.2", cls.certificate, cls.behave))
        # nothing cached: what one vector asks must not answer another
        config = cls.config(cls.peer, cache={"size": 0})
        cls.privydnsd = cls.begin_for_class(Daemon(cls.path("privydnsd"), config))

    @staticmethod
    def behave(talk):
        for query in talk.queries():
            talk.answer(query)

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
        cls.peer = cls.begin_for_class(Peer("127.0.0.2", cls.certificate, ClientQueries.behave))
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

        def behave(talk):
            for query in talk.queries():
                if query[12]:
                    talk.frame(query[:2] + upstream[2:])
                else:
                    talk.answer(query)

        peer = self.begin(Peer("127.0.0.2", self.certificate, behave))
        daemon = self.daemon(peer)
        reply = daemon.raw(bytes.fromhex(vector["client_query_hex"]))
        self.assertEqual(reply and reply.hex(), vector["expect_hex"])


for each in VECTORS["truncation"]:
    setattr(Truncation, f"test_{each['id']}", lambda self, v=each: self.check(v))


class TcpManners(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = cls.begin_for_class(Peer("127.0.0.2", cls.certificate, cls.behave))
        cls.privydnsd = cls.begin_for_class(Daemon(cls.path("privydnsd"), cls.config(cls.peer)))

    @staticmethod
    def behave(talk):
        held = None
        for query in talk.queries():
            if b"\x04slow" in query:
                held = query
                continue
            talk.answer(query)
            if held and b"\x04last" in query:
                talk.answer(held)
                held = None

    def query(self, name, number, **options):
        return dns.message.make_query(name, "A", id=number, **options).to_wire()

    def test_pipelined_and_out_of_order(self):
        with self.privydnsd.connect() as s:
            messages = [self.query("slow.example", 1)]
            messages += [self.query(f"p{i}.example", i) for i in range(2, 30)]
            messages.append(self.query("last.example", 30))
            s.sendall(b"".join(len(m).to_bytes(2, "big") + m for m in messages))
            ids = [struct.unpack("!H", read_frame(s)[:2])[0] for _ in messages]
        self.assertEqual(sorted(ids), list(range(1, 31)))
        self.assertNotEqual(ids[0], 1)

    def test_split_at_every_octet(self):
        with self.privydnsd.connect() as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            message = self.query("split.example", 7)
            for octet in len(message).to_bytes(2, "big") + message:
                s.sendall(bytes([octet]))
            self.assertEqual(read_frame(s)[:2], b"\0\x07")

    def test_half_close_still_gets_the_answers(self):
        with self.privydnsd.connect() as s:
            send_frame(s, self.query("half1.example", 1))
            send_frame(s, self.query("half2.example", 2))
            s.shutdown(socket.SHUT_WR)
            self.assertEqual({read_frame(s)[1], read_frame(s)[1]}, {1, 2})
            self.assertIsNone(read_frame(s))

    def test_keepalive_is_offered_over_tcp_only(self):
        option = dns.edns.GenericOption(11, b"")
        reply = self.privydnsd.ask("keep.example", tcp=True, use_edns=0, options=[option])
        found = [o.to_wire() for o in reply.options if int(o.otype) == 11]
        self.assertEqual(found, [b"\0\x64"])
        reply = self.privydnsd.ask("keep.example", use_edns=0, options=[option])
        self.assertEqual([o for o in reply.options if int(o.otype) == 11], [])

    def test_length_zero_closes(self):
        with self.privydnsd.connect() as s:
            s.sendall(b"\0\0")
            self.assertIsNone(read_frame(s))

    def test_answer_comes_from_the_address_that_was_asked(self):
        config = {**self.config(self.peer), "listen": ["0.0.0.0:5399"]}
        daemon = self.begin(Daemon(self.path("any"), config, address="127.0.0.5", port=5399))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.sendto(self.query("from.example", 5), (daemon.address, daemon.port))
            self.assertEqual(s.recvfrom(4096)[1], ("127.0.0.5", 5399))

    def test_ipv6_listener(self):
        config = {**self.config(self.peer), "listen": ["[::1]:5398"]}
        daemon = self.begin(Daemon(self.path("v6"), config, address="::1", port=5398))
        self.assertEqual(texts(daemon.ask("six.example")), ["192.0.2.10"])
        self.assertEqual(texts(daemon.ask("six2.example", tcp=True)), ["192.0.2.10"])


class WithoutRecursion(SystemTest):
    def test_only_what_is_cached(self):
        peer = self.begin(Peer("127.0.0.2", self.certificate, ClientQueries.behave))
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


class AllowList(SystemTest):
    def test_others_are_refused(self):
        peer = self.begin(Peer("127.0.0.2", self.certificate, ClientQueries.behave))
        daemon = self.daemon(peer, allow=["192.0.2.0/24"])
        reply = daemon.ask("denied.example", use_edns=0)
        self.assertEqual(reply.rcode(), dns.rcode.REFUSED)
        self.assertEqual([code for code, _ in ede(reply)], [18])
        self.assertEqual(peer.asked("denied.example"), 0)
        reply = daemon.ask("denied.example", tcp=True)
        self.assertEqual(reply.rcode(), dns.rcode.REFUSED)


class Routes(SystemTest):
    def test_longest_zone_wins(self):
        def answering(address):
            def behave(talk):
                for query in talk.queries():
                    talk.answer(query, address=address)
            return behave
        default = self.begin(Peer("127.0.0.2", self.certificate, answering("192.0.2.1")))
        corp = self.begin(Peer("127.0.0.3", self.certificate, answering("192.0.2.2")))
        lab = self.begin(Peer("127.0.0.4", self.certificate, answering("192.0.2.3")))
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
