"""Ten thousand distinct names, a hundred in flight, and every answer is there and right."""
import re
import socket
import struct

import dns.message

from harness import Load, SystemTest, run
from servers import Dnsdist, Unbound, distinct_address

COUNT = 10000


class DistinctNames(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.names = cls.dir / "names"
        cls.names.write_text("".join(f"n{i}.d.example A\n" for i in range(COUNT)))

    def dnsperf(self, *options):
        done = run("dnsperf", "-s", "127.0.0.1", "-d", self.names, "-q", "100", "-n", "1", *options,
                   timeout=120)
        found = {key: int(value) for key, value in
                 re.findall(r"Queries (sent|completed|lost): +(\d+)", done.stdout)}
        self.assertEqual(found, {"sent": COUNT, "completed": COUNT, "lost": 0}, done.stdout)
        codes = re.search(r"Response codes: +(.*)", done.stdout).group(1)
        self.assertEqual(codes, f"NOERROR {COUNT} (100.00%)")

    def test_none_lost_through_unbound(self):
        daemon = self.daemon(self.unbound(distinct=COUNT), level="notice")
        self.dnsperf()
        self.check_each(daemon)

    def test_none_lost_through_dnsdist(self):
        backend = self.begin(Unbound(self.path("backend"), "127.0.0.9", 5353, distinct=COUNT))
        self.daemon(self.begin(Dnsdist(self.path("dnsdist"), "127.0.0.3", 853, self.certificate,
                                       backend)), level="notice")
        self.dnsperf()

    def test_none_lost_with_two_workers_and_over_tcp(self):
        self.daemon(self.unbound(distinct=COUNT), level="notice", workers=2)
        self.dnsperf("-m", "tcp", "-c", "10")

    def test_none_lost_over_https(self):
        unbound = self.unbound(distinct=COUNT)
        daemon = self.daemon(self.doh_upstream(unbound), level="notice")
        self.dnsperf()
        self.check_each(daemon)

    def test_none_lost_over_https_by_get(self):
        backend = self.begin(Unbound(self.path("backend"), "127.0.0.9", 5353, distinct=COUNT))
        dnsdist = self.begin(Dnsdist(self.path("dnsdist"), "127.0.0.3", 853, self.certificate,
                                     backend))
        self.daemon(self.doh_upstream(dnsdist, method="get"), level="notice")
        self.dnsperf()

    def test_the_servers_limit_of_streams_holds(self):
        unbound = self.unbound(distinct=COUNT, extra="http-max-streams: 10")
        self.daemon(self.doh_upstream(unbound), level="notice")
        self.dnsperf()

    def check_each(self, daemon):
        """Every name's answer is its own (mostly from the cache by now)."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.connect(("127.0.0.1", 53))
            for i in range(0, COUNT, 7):
                s.send(dns.message.make_query(f"n{i}.d.example", "A", id=i).to_wire())
                reply = s.recv(4096)
                self.assertEqual(struct.unpack("!H", reply[:2])[0], i)
                self.assertEqual(socket.inet_ntoa(reply[-4:]), distinct_address(i))


class SteadyLoad(SystemTest):
    def test_thousand_a_second(self):
        daemon = self.daemon(self.unbound(), level="notice")
        load = Load(daemon, 1000, 3)
        load.start()
        self.assertEqual(load.outcome(), {0: 3000})
