"""Connections that real servers close while they are idle: no query is lost."""
import time

from harness import SystemTest, connections, wait_until
from servers import Dnsdist, Unbound


class IdleClose(SystemTest):
    def questions(self, daemon, pauses, label):
        """One question after each pause; all are answered."""
        for i, pause in enumerate(pauses):
            time.sleep(pause)
            begun = time.monotonic()
            self.assert_answers(daemon, f"{label}{i}.wild.example", ["192.0.2.99"])
            self.assertLess(time.monotonic() - begun, 1)
        self.assertEqual(daemon.log_lines("(?i) down"), [])

    def test_unbound_with_a_short_idle_time(self):
        upstream = self.unbound(extra="tcp-idle-timeout: 100\nedns-tcp-keepalive: no")
        self.questions(self.daemon(upstream), [0.09 + 0.001 * i for i in range(25)], "unbound")

    def test_dnsdist_with_a_short_idle_time(self):
        backend = self.begin(Unbound(self.path("backend"), "127.0.0.9", 5353))
        upstream = self.begin(Dnsdist(self.path("dnsdist"), "127.0.0.3", 853, self.certificate,
                                      backend, "setTCPRecvTimeout(1)"))
        self.questions(self.daemon(upstream), [0.98 + 0.01 * i for i in range(5)], "dnsdist")

    def test_keepalive_of_the_server_is_honoured(self):
        """unbound says 2 s (EDNS option 11); we close first."""
        upstream = self.unbound(
            extra="edns-tcp-keepalive: yes\nedns-tcp-keepalive-timeout: 2000\n"
                  "tcp-idle-timeout: 30000")
        daemon = self.daemon(upstream)
        self.assert_answers(daemon)
        self.assertEqual(len(connections(upstream)), 1)
        begun = time.monotonic()
        wait_until(lambda: not connections(upstream), 4)
        self.assertGreater(time.monotonic() - begun, 1)
