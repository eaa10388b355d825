"""A scripted DoT server, for what no real server does: garbage, wrong ids, cut frames, silence.

    def behave(talk):                   # called in a thread for each connection, handshake done
        for query in talk.queries():
            talk.answer(query)
"""
import socket
import ssl
import threading

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset

from harness import read_frame


def parsed(message):
    """The query; of one whose signature we cannot check only the question."""
    try:
        return dns.message.from_wire(message)
    except dns.exception.DNSException:
        return dns.message.from_wire(message, question_only=True)


class Talk:
    """One connection as the script sees it."""

    def __init__(self, peer, stream, number):
        self.peer, self.stream, self.number = peer, stream, number

    def read(self):
        """The next query's octets, None at the end."""
        message = read_frame(self.stream)
        if message:
            with self.peer.lock:
                self.peer.queries.append(parsed(message))
        return message

    def queries(self):
        while message := self.read():
            yield message

    def send(self, octets):
        self.stream.sendall(octets)

    def frame(self, message):
        self.send(len(message).to_bytes(2, "big") + message)

    def reply(self, message, address="192.0.2.10", ttl=60):
        """The right reply to a query message, to be sent, or spoiled and sent."""
        query = parsed(message)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        question = query.question[0]
        if question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(question.name, ttl, "IN", "A", address))
        return bytearray(reply.to_wire())

    def answer(self, message, **options):
        self.frame(self.reply(message, **options))

    def close(self):
        """Says goodbye as TLS wants it."""
        try:
            self.stream.settimeout(1)
            self.stream.unwrap()
        except (OSError, ValueError):
            pass
        self.stream.close()


class Peer:
    """Listens with a certificate and lets `behave` talk on each connection."""

    def __init__(self, address, certificate, behave, port=853, prepare=None):
        self.address, self.port, self.behave = address, port, behave
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.crt, certificate.key)
        self.context.set_alpn_protocols(["dot"])
        if prepare:
            prepare(self.context)
        self.lock = threading.Lock()
        self.queries, self.streams = [], []
        self.accepted = self.handshakes = self.resumed = 0
        self.listener = None

    def start(self):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.address, self.port))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
            threading.Thread(target=self.serve, args=(plain, self.accepted), daemon=True).start()

    def serve(self, plain, number):
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            stream = self.context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            return
        with self.lock:
            self.handshakes += 1
            self.resumed += bool(stream.session_reused)
            self.streams.append(stream)
        try:
            self.behave(Talk(self, stream, number))
        except (OSError, ValueError):
            pass
        stream.close()

    def asked(self, name):
        """How many queries for this name came."""
        wanted = dns.name.from_text(name)
        with self.lock:
            return sum(q.question[0].name == wanted for q in self.queries)

    def stop(self):
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.listener.close()
        for stream in self.streams:  # its own thread closes it: OpenSSL's object is not to be shared
            try:
                socket.socket.shutdown(stream, socket.SHUT_RDWR)
            except OSError:
                pass


def honest(talk):
    """Answers everything."""
    for query in talk.queries():
        talk.answer(query)
