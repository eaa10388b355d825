"""What the tests of mutual TLS share: authorities, certificates, servers that demand one."""
import time
import unittest

import dns.rcode

from harness import SystemTest, ede
from servers import CA, Backend, Certificate, program

NGINX, HAPROXY, STUNNEL = "127.0.0.3", "127.0.0.4", "127.0.0.5"
MISSING = [name for name in ("nginx", "haproxy", "stunnel") if not program(name)]


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class MutualTls(SystemTest):
    """An authority A whose clients are welcome, another one B, and what stands behind servers."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.a, cls.b = CA(cls.dir / "a", "a"), CA(cls.dir / "b", "b")
        (cls.b.dir / "serial").write_text("2000\n")
        cls.client = cls.a.issue("client", ["client.example"])
        cls.stranger = cls.b.issue("stranger", ["client.example"])
        cls.expired = cls.a.expired("expired", ["client.example"])
        cls.backend = cls.begin_for_class(Backend(cls.path("backend"), "127.0.0.9"))

    @classmethod
    def server(cls, kind, address, begin=None, **options):
        clients = options.pop("clients", cls.a.crt)
        made = kind(cls.path(kind.__name__.lower()), address, cls.certificate, cls.backend,
                    clients, **options)
        return (begin or cls.begin_for_class)(made)

    @classmethod
    def entry(cls, server, scheme="tls", who=None, **more):
        """A configuration entry; who: a Certificate, ours."""
        make = cls.upstream if scheme == "tls" else cls.doh_upstream
        ours = {"client_cert": str(who.crt), "client_key": str(who.key)} if who else {}
        return {"name": "corp", **make(server), **ours, **more}

    def copy(self, certificate):
        """A pair of files that may change: links in the way of Kubernetes."""
        directory = self.path("identity")
        pair = Certificate(directory / "tls.crt", directory / "tls.key")
        self.switch(pair, certificate)
        pair.crt.symlink_to("..data/tls.crt")
        pair.key.symlink_to("..data/tls.key")
        return pair

    @staticmethod
    def switch(pair, certificate):
        """Both at once, by one link."""
        directory = pair.crt.parent
        version = directory / f"..{len(list(directory.iterdir()))}"
        version.mkdir()
        (version / "tls.crt").write_bytes(certificate.crt.read_bytes())
        (version / "tls.key").touch(0o600)
        (version / "tls.key").write_bytes(certificate.key.read_bytes())
        (directory / "..new").symlink_to(version.name)
        (directory / "..new").rename(directory / "..data")

    def files(self, certificate):
        """A pair of plain files."""
        directory = self.path("identity")
        pair = Certificate(directory / "tls.crt", directory / "tls.key")
        pair.key.touch(0o600)
        self.write(pair, certificate)
        return pair

    @staticmethod
    def write(pair, certificate, pause=0.0):
        """One after the other, in place."""
        pair.crt.write_bytes(certificate.crt.read_bytes())
        time.sleep(pause)
        pair.key.write_bytes(certificate.key.read_bytes())

    def assert_fails(self, daemon, code=23, name="www.example"):
        reply = daemon.ask(name, use_edns=0)
        self.assertEqual(dns.rcode.to_text(reply.rcode()), "SERVFAIL", reply)
        self.assertEqual([number for number, _ in ede(reply)], [code], reply)
        return reply
