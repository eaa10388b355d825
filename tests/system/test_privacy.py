"""No plaintext query leaves: captures of everything that is sent."""
import socket
import struct

import dns.rcode

from harness import NAME, Daemon, Process, SystemTest, servers, trust, wait_until

CLIENT_SIDE = ("127.0.0.1", 53)
LAST = b"the last packet"


def packets(path):
    """(protocol, source, source port, destination, destination port, payload) of a pcap of lo."""
    data = path.read_bytes()
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        frame = data[at + 16:at + 16 + length]
        at += 16 + length
        kind = struct.unpack_from("!H", frame, 12)[0]
        if kind == 0x0800:
            head = (frame[14] & 15) * 4
            protocol = frame[23]
            source, target = (".".join(map(str, frame[i:i + 4])) for i in (26, 30))
            body = frame[14 + head:]
        elif kind == 0x86dd:
            protocol, body = frame[20], frame[54:]
            source, target = frame[22:38].hex(), frame[38:54].hex()
            if protocol == 58:  # ICMPv6: neighbours, router solicitation
                continue
        else:
            continue
        ports = struct.unpack_from("!HH", body) if protocol in (6, 17) else (0, 0)
        yield protocol, source, ports[0], target, ports[1], body


def nobody_listened_yet(packet):
    """The kernel's answer to a client that asked before we listened."""
    protocol, source, _, target, _, body = packet
    return protocol == 1 and body[0] == 3 and source == target == CLIENT_SIDE[0]


class Capture:
    """tcpdump on lo."""

    def __init__(self, test):
        self.test, self.file = test, test.path("capture") / "lo.pcap"
        self.process = test.begin(self)

    def start(self):
        self.child = Process("tcpdump", [servers.program("tcpdump"), "-i", "lo", "-U", "-n",
                                         "--immediate-mode", "-s", "0", "-B", "65536", "-Z", "root",
                                         "-w", str(self.file)], self.file.parent)
        self.child.ready(lambda: "listening on" in self.child.text())
        return self

    def stop(self):
        self.child.stop()

    def upstream_side(self):
        """Ends the capture; the packets that are not between a client and us."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(LAST, ("127.0.0.1", 9))
        servers.wait_until(lambda: LAST in self.file.read_bytes(), what="the last packet")
        self.stop()
        found = [p for p in packets(self.file)
                 if LAST not in p[5] and (p[1], p[2]) != CLIENT_SIDE and (p[3], p[4]) != CLIENT_SIDE
                 and not nobody_listened_yet(p)]
        self.test.assertIn("0 packets dropped", self.child.text())
        return found

    def assert_only_tls(self):
        """Every packet is TCP from or to port 853 or 443, and none shows a name."""
        found = self.upstream_side()
        self.test.assertGreater(len(found), 0)
        for packet in found:
            protocol, source, source_port, target, target_port, body = packet
            self.test.assertEqual(protocol, 6, packet)
            self.test.assertTrue({853, 443} & {source_port, target_port}, packet)
            self.test.assertNotIn(b"\x07example\x00", body)
        return found


class NothingInPlaintext(SystemTest):
    def test_while_it_works(self):
        capture = Capture(self)
        daemon = self.daemon(self.unbound())
        for i in range(50):
            self.assert_answers(daemon, f"p{i}.wild.example", ["192.0.2.99"])
        daemon.ask("big60k.example", "TXT", tcp=True)
        daemon.stop()
        capture.assert_only_tls()

    def test_while_upstreams_fail(self):
        first, second = self.unbound("127.0.0.2"), self.unbound("127.0.0.3")
        wrong = self.unbound("127.0.0.4", self.ca.issue("wrong", ["other.example"]))
        capture = Capture(self)
        daemon = self.daemon(first, second, wrong, "127.0.0.5", query={"deadline": "1s"})
        for i in range(10):
            daemon.ask(f"a{i}.wild.example")
        first.stop()
        for i in range(10):
            daemon.ask(f"b{i}.wild.example")
        second.freeze()
        failed = [daemon.ask(f"c{i}.wild.example").rcode() for i in range(3)]
        second.stop()
        failed += [daemon.ask(f"d{i}.wild.example").rcode() for i in range(3)]
        self.assertEqual(set(failed), {dns.rcode.SERVFAIL})
        daemon.stop()
        capture.assert_only_tls()

    def test_a_server_that_speaks_plaintext_on_853_is_told_no_name(self):
        plain = self.begin(servers.Unbound(self.path("plain"), "127.0.0.2", 853))
        capture = Capture(self)
        daemon = self.daemon(plain, query={"deadline": "1s"})
        self.assertEqual(daemon.ask("secret.example").rcode(), dns.rcode.SERVFAIL)
        daemon.stop()
        capture.assert_only_tls()

    def test_upstream_given_by_name_is_looked_up_encrypted(self):
        upstream = self.unbound("192.0.2.10", self.ca.issue("named", ["www.example"]))
        helper = self.unbound("127.0.0.2")
        capture = Capture(self)
        config = self.config({"url": "tls://www.example", "ca_file": str(self.ca.crt)})
        trust(self, self.ca)
        config["bootstrap"] = [f"tls://{helper.address}#{NAME}"]
        daemon = self.begin(Daemon(self.path("privydnsd"), config))
        self.assert_answers(daemon, "boot.wild.example", ["192.0.2.99"])
        daemon.stop()
        found = capture.assert_only_tls()
        self.assertTrue(any(upstream.address in (p[1], p[3]) for p in found))

    def test_start_with_the_built_in_upstreams(self):
        # no certificate of a known CA, so nothing may be asked
        quad9 = self.scripted(address="9.9.9.9",
                              certificate=self.ca.issue("quad9", ["dns.quad9.net"]))
        self.scripted(address="149.112.112.112",
                      certificate=self.ca.issue("quad9b", ["dns.quad9.net"]))
        capture = Capture(self)
        daemon = self.begin(Daemon(self.path("privydnsd"), None, "-l", "127.0.0.1",
                                   "-v", env={"PRIVYDNS_USER": "root"}))
        wait_until(lambda: quad9.accepted)
        reply = daemon.ask("secret.example", use_edns=0)
        self.assertEqual(reply.rcode(), dns.rcode.SERVFAIL)
        self.assertEqual(quad9.asked_in_all, 0)
        self.assertTrue(daemon.log_lines(r"(?i)quad9"), daemon.log())
        daemon.stop()
        capture.assert_only_tls()
