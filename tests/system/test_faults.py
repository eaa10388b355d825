"""Upstreams that misbehave as no real server does: the attempt fails, the next one is asked."""
import socket
import time

import dns.message
import dns.rcode

from harness import SystemTest, ede, read_frame, send_frame, wait_until
from peer import Peer, honest


def spoiled(spoil):
    """A script that lets `spoil(talk, query)` answer each query but the probes for the root."""
    def behave(talk):
        for query in talk.queries():
            if query[12] == 0:
                talk.answer(query)
            else:
                spoil(talk, query)
    return behave


def garbage(talk, _):
    talk.frame(b"\xff" * 100)


def garbage_stream(talk, _):
    talk.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)


def wrong_id(talk, query):
    reply = talk.reply(query, address="192.0.2.66")
    reply[0] ^= 0x55
    talk.frame(reply)


def wrong_question(talk, query):
    reply = talk.reply(query, address="192.0.2.66")
    reply[13] ^= 0x01  # another letter in the first label
    talk.frame(reply)


def wrong_type(talk, query):
    reply = talk.reply(query, address="192.0.2.66")
    end = reply.index(b"\0", 12)
    reply[end + 2] = 28
    talk.frame(reply)


def a_query_back(talk, query):
    talk.frame(query)


def cut_frame(talk, query):
    reply = talk.reply(query)
    talk.send(len(reply).to_bytes(2, "big") + reply[:20])
    talk.close()


def length_zero(talk, _):
    talk.send(b"\0\0")


def length_below_a_header(talk, query):
    talk.frame(query[:8])


def record_over_the_end(talk, query):
    talk.frame(talk.reply(query)[:-3])


def close_in_the_middle(talk, _):
    talk.close()


def reset(talk, _):
    talk.stream.close()


def silence(talk, _):
    pass


def compression_loop(talk, query):
    reply = talk.reply(query)
    end = reply.index(b"\0", 12) + 5
    reply[end:end + 2] = (0xc000 | end).to_bytes(2, "big")
    talk.frame(reply)


FAULTS = (garbage, garbage_stream, wrong_id, wrong_question, wrong_type, a_query_back, cut_frame,
          length_zero, length_below_a_header, record_over_the_end, close_in_the_middle, reset,
          silence, compression_loop)


class BadUpstream(SystemTest):
    """One test for each fault, made below."""

    def next_one_answers(self, fault):
        bad = self.begin(Peer("127.0.0.2", self.certificate, spoiled(fault)))
        good = self.begin(Peer("127.0.0.3", self.certificate, honest))
        daemon = self.daemon({**self.upstream(bad), "name": "bad"},
                             {**self.upstream(good), "name": "good"})
        for i in range(5):
            self.assert_answers(daemon, f"f{i}.example")
        self.assertGreaterEqual(sum(bad.asked(f"f{i}.example") for i in range(5)), 1)
        # nothing wrong was cached
        bad.stop()
        for i in range(5):
            self.assert_answers(daemon, f"f{i}.example")
        self.assertTrue(daemon.log_lines("bad"), daemon.log())

    def alone(self, fault):
        bad = self.begin(Peer("127.0.0.2", self.certificate, spoiled(fault)))
        daemon = self.daemon({**self.upstream(bad), "name": "bad"}, query={"deadline": "1500ms"})
        reply = daemon.ask("alone.example", use_edns=0)
        self.assertEqual(reply.rcode(), dns.rcode.SERVFAIL)
        self.assertEqual(reply.answer, [])
        (code, text), = ede(reply)
        self.assertIn(code, (22, 23))
        self.assertIn("bad", text)
        # healed: the state of a broken connection dies with it
        bad.behave = honest
        wait_until(lambda: daemon.ask("healed.example").rcode() == dns.rcode.NOERROR, 12, 0.2)


def add_tests():
    for fault in FAULTS:
        setattr(BadUpstream, f"test_next_{fault.__name__}",
                lambda self, f=fault: self.next_one_answers(f))
        setattr(BadUpstream, f"test_alone_{fault.__name__}",
                lambda self, f=fault: self.alone(f))


add_tests()


class OddButLegal(SystemTest):
    def answers(self, behave, name="odd.example"):
        daemon = self.daemon(self.begin(Peer("127.0.0.2", self.certificate, behave)))
        self.assert_answers(daemon, name)
        return daemon

    def test_as_many_records_as_fit(self):
        """64 KiB of A records, from a server that keeps a second attempt waiting."""
        count = 4090

        def behave(talk):
            for query in talk.queries():
                end = query.index(b"\0", 12) + 5
                if query[12]:
                    time.sleep(0.7)
                talk.frame(query[:2] + b"\x81\x80\0\1" + count.to_bytes(2, "big") + bytes(4)
                           + query[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1" * count)

        daemon = self.daemon(self.begin(Peer("127.0.0.2", self.certificate, behave)))
        query = dns.message.make_query("many.example", "A")
        for _ in range(2):  # from the server, from the cache
            with daemon.connect() as s:
                send_frame(s, query.to_wire())
                reply = read_frame(s)
            self.assertEqual((reply[3] & 15, int.from_bytes(reply[6:8], "big")), (0, count))

    def test_octet_by_octet(self):
        def behave(talk):
            for query in talk.queries():
                reply = talk.reply(query)
                for octet in len(reply).to_bytes(2, "big") + reply:
                    talk.send(bytes([octet]))
        self.answers(behave)

    def test_unknown_id_before_the_answer_is_ignored(self):
        def behave(talk):
            for query in talk.queries():
                other = talk.reply(query, address="192.0.2.66")
                other[1] ^= 0x01
                talk.frame(other)
                talk.answer(query)
        self.answers(behave)

    def test_answers_in_reverse_order(self):
        def behave(talk):
            held = []
            for query in talk.queries():
                if query[12] == 0:
                    talk.answer(query)
                    continue
                held.append(query)
                if len(held) == 10:
                    for each in reversed(held):
                        talk.answer(each)
                    held = []

        daemon = self.daemon(self.begin(Peer("127.0.0.2", self.certificate, behave)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(4)
            for i in range(10):
                s.sendto(dns.message.make_query(f"r{i}.example", "A", id=i).to_wire(),
                         ("127.0.0.1", 53))
            replies = [dns.message.from_wire(s.recv(4096)) for _ in range(10)]
        for reply in replies:
            self.assertEqual(reply.question[0].name.to_text(), f"r{reply.id}.example.")
            self.assertEqual(reply.rcode(), dns.rcode.NOERROR)
        self.assertTrue(daemon.process.running())
