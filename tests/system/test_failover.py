"""Two upstreams, the first one gone in every way there is: each query is answered by the second."""
import dns.rcode

from harness import Load, SystemTest, ede, wait_until
from peer import Peer, honest


class FirstUpstreamGone(SystemTest):
    """`break_it` is called while questions arrive; none may be lost or fail."""

    def through_the_second(self, daemon, break_it, name):
        load = Load(daemon, 100, 4)
        load.start()
        wait_until(lambda: len(load.latency) > 50)
        break_it()
        load.join()
        self.assertEqual((load.lost, load.rcodes), (0, {0: load.total}), daemon.log()[-3000:])
        lines = [line for line in daemon.log_lines(f"(?i){name}.*down|{name}.*(unreach|no answer)")]
        self.assertEqual(len(lines), 1, lines or daemon.log())
        return lines[0]

    def two(self, **options):
        first, second = self.unbound("127.0.0.2"), self.unbound("127.0.0.3")
        daemon = self.daemon({**self.upstream(first), "name": "first"},
                             {**self.upstream(second), "name": "second"}, level="notice",
                             **options)
        self.assert_answers(daemon)
        return first, second, daemon

    def test_stopped(self):
        first, _, daemon = self.two()
        self.through_the_second(daemon, first.stop, "first")

    def test_frozen(self):
        first, _, daemon = self.two()
        self.through_the_second(daemon, first.freeze, "first")

    def test_frozen_with_two_workers(self):
        first, _, daemon = self.two(workers=2)
        self.through_the_second(daemon, first.freeze, "first")

    def test_refusing_from_the_start(self):
        second = self.unbound("127.0.0.3")
        daemon = self.daemon({**self.upstream("127.0.0.2"), "name": "first"},
                             {**self.upstream(second), "name": "second"}, level="notice")
        line = self.through_the_second(daemon, lambda: None, "first")
        self.assertRegex(line, "(?i)refused")

    def test_silent_from_the_start(self):
        silent = self.begin(Peer("127.0.0.2", self.certificate,
                                 lambda talk: list(talk.queries())))
        second = self.unbound("127.0.0.3")
        daemon = self.daemon({**self.upstream(silent), "name": "first"},
                             {**self.upstream(second), "name": "second"}, level="notice")
        self.through_the_second(daemon, lambda: None, "first")

    def test_it_comes_back(self):
        first, second, daemon = self.two()
        first.stop()
        daemon.ask("gone.wild.example")
        daemon.wait_log("first.*")
        first.start()
        second.stop()
        self.assertEqual(daemon.ask("back.wild.example").rcode(), dns.rcode.NOERROR)
        daemon.wait_log("(?i)first.* up")


class EverythingDown(SystemTest):
    def test_servfail_within_the_deadline_then_recovery(self):
        upstream = self.unbound()
        daemon = self.daemon({**self.upstream(upstream), "name": "only"})
        self.assert_answers(daemon)
        upstream.stop()
        reply = daemon.ask("nobody.wild.example", use_edns=0, timeout=5)
        self.assertEqual(reply.rcode(), dns.rcode.SERVFAIL)
        errors = ede(reply)
        self.assertEqual(errors[0][0], 22, reply)
        self.assertIn("only", errors[0][1])
        upstream.start()
        self.assert_answers(daemon, "healed.wild.example", ["192.0.2.99"])

    def test_cached_answers_go_on(self):
        upstream = self.unbound()
        daemon = self.daemon(upstream)
        self.assert_answers(daemon)
        upstream.stop()
        self.assert_answers(daemon)

    def test_stale_answer_when_nobody_answers(self):
        upstream = self.unbound()
        daemon = self.daemon(upstream)
        self.assert_answers(daemon, "short.example", ["192.0.2.2"])
        upstream.stop()

        def stale():
            reply = daemon.ask("short.example", use_edns=0)
            self.assertEqual(reply.rcode(), dns.rcode.NOERROR)
            return reply if ede(reply) else None

        reply = wait_until(stale, 8, step=0.2)
        self.assertEqual(ede(reply)[0][0], 3)
        self.assertEqual(reply.answer[0].ttl, 30)


class ServersOpinions(SystemTest):
    """What the other upstream is asked for, and what is final."""

    def pair(self, rcode):
        def refuse(talk):
            for query in talk.queries():
                reply = talk.reply(query)
                reply[3] = reply[3] & 0xf0 | rcode
                reply[6:12] = bytes(6)  # no records
                talk.frame(reply[:12 + question_length(reply)])
        bad = self.begin(Peer("127.0.0.2", self.certificate, refuse))
        good = self.begin(Peer("127.0.0.3", self.certificate, honest))
        return bad, good, self.daemon(bad, good)

    def test_servfail_refused_notimp_ask_the_next(self):
        for rcode in (dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR):
            with self.subTest(rcode=dns.rcode.to_text(rcode)):
                bad, good, daemon = self.pair(rcode)
                self.assert_answers(daemon, "opinion.example")
                self.assertEqual((bad.asked("opinion.example"), good.asked("opinion.example")),
                                 (1, 1))
                for part in (daemon, bad, good):
                    part.stop()

    def test_nxdomain_is_final(self):
        _, good, daemon = self.pair(dns.rcode.NXDOMAIN)
        self.assertEqual(daemon.ask("nosuch.example").rcode(), dns.rcode.NXDOMAIN)
        self.assertEqual(good.asked("nosuch.example"), 0)

    def test_a_filter_is_not_overruled(self):
        def refuse(talk):
            for query in talk.queries():
                reply = talk.reply(query)
                reply[3] = reply[3] & 0xf0 | dns.rcode.REFUSED
                reply[6:12] = bytes(6)  # no records
                talk.frame(reply[:12 + question_length(reply)])
        filtering = self.begin(Peer("127.0.0.2", self.certificate, refuse))
        other = self.begin(Peer("127.0.0.3", self.certificate, honest))
        daemon = self.daemon(self.upstream(filtering, properties=["filter"]), other)
        self.assertEqual(daemon.ask("blocked.example").rcode(), dns.rcode.REFUSED)
        self.assertEqual(other.asked("blocked.example"), 0)


def question_length(message):
    at = 12
    while message[at]:
        at += message[at] + 1
    return at + 5 - 12
