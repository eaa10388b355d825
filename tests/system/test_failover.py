"""The only upstream, a real server, is gone: what clients are told, and what they still get."""
import dns.rcode

from harness import SystemTest, ede, wait_until


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
