"""Connections that the server closes while they are idle: no query is lost, none is sent twice."""
import time

from harness import SystemTest, connections, wait_until
from peer import Peer
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

    def test_close_races_with_the_next_question(self):
        """The server closes 50 ms after each answer; questions come just around that moment."""
        def behave(talk):
            try:
                while query := talk.read():
                    talk.answer(query, address="192.0.2.99")
                    talk.stream.settimeout(0.05)
            except TimeoutError:
                talk.close()

        peer = self.begin(Peer("127.0.0.2", self.certificate, behave))
        daemon = self.daemon(peer)
        self.questions(daemon, [0.045 + 0.0005 * i for i in range(40)], "race")

    def test_server_closes_without_goodbye(self):
        def behave(talk):
            query = talk.read()
            if query:
                talk.answer(query, address="192.0.2.99")

        daemon = self.daemon(self.begin(Peer("127.0.0.2", self.certificate, behave)))
        self.questions(daemon, [0.01] * 30, "rude")

    def test_server_reads_the_question_and_closes(self):
        """On a reused connection that is one free replay, on a fresh one."""
        def behave(talk):
            for query in talk.queries():
                if talk.peer.asked_on.setdefault(talk.number, 0) and query[12]:
                    talk.close()
                    return
                talk.peer.asked_on[talk.number] += 1
                talk.answer(query, address="192.0.2.99")

        peer = Peer("127.0.0.2", self.certificate, behave)
        peer.asked_on = {}
        daemon = self.daemon(self.begin(peer))
        self.questions(daemon, [0.02] * 20, "mean")

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

    def test_one_connection_is_used_again(self):
        peer = self.begin(Peer("127.0.0.2", self.certificate,
                               lambda talk: [talk.answer(q) for q in talk.queries()]))
        daemon = self.daemon(peer)
        for i in range(30):
            self.assert_answers(daemon, f"again{i}.example")
        self.assertEqual(peer.handshakes, 1)
