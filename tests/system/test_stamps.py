"""Upstreams given by DNS stamps, against real servers."""
import hashlib
import re

from harness import NAME, PRIVYDNS, PRIVYDNSD, SOURCE, SystemTest, Unbound, run
from servers import counted, openssl, stamp


def dot_stamp(host, address="", hashes=(), properties=7):
    last = len(hashes) - 1
    listed = b"".join(bytes([32 | (0x80 if i < last else 0)]) + h for i, h in enumerate(hashes))
    return stamp(b"\x03" + properties.to_bytes(8, "little") + counted(address.encode())
                 + (listed or b"\0") + counted(host.encode()))


def der_length(der, at):
    """Of the element at that place: where its content begins, and its length."""
    first = der[at + 1]
    if first < 0x80:
        return at + 2, first
    more = first & 0x7F
    return at + 2 + more, int.from_bytes(der[at + 2:at + 2 + more], "big")


def signed_hash(certificate):
    """SHA-256 of the TBSCertificate: the first element inside."""
    der = openssl("x509", "-in", certificate, "-outform", "DER")
    inside, _ = der_length(der, 0)
    content, length = der_length(der, inside)
    return hashlib.sha256(der[inside:content + length]).digest()


class Stamps(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.begin_for_class(
            Unbound(cls.path("unbound"), "127.0.0.2", 853, cls.certificate))

    def entry(self, **more):
        return {"url": dot_stamp(NAME, "127.0.0.2", **more), "ca_file": str(self.ca.crt)}

    def test_daemon(self):
        self.assert_answers(self.daemon(self.entry()))

    def test_hashes_of_leaf_and_authority(self):
        for certificate in (self.certificate.crt, self.ca.crt):
            with self.subTest(certificate=certificate.name):
                hashes = [b"\1" * 32, signed_hash(certificate)]
                daemon = self.daemon(self.entry(hashes=hashes))
                self.assert_answers(daemon)
                daemon.stop()

    def test_another_hash_is_refused(self):
        daemon = self.daemon(self.entry(hashes=[b"\1" * 32]))
        self.assertEqual(daemon.ask("www.example").rcode(), 2)
        daemon.wait_log("no certificate in its chain is one that the stamp names")

    def test_lookup(self):
        done = run(PRIVYDNS, "--ca-file", self.ca.crt, "-u", dot_stamp(NAME, "127.0.0.2"),
                   "--short", "www.example")
        self.assertEqual((done.returncode, done.stdout), (0, "192.0.2.10\n"))

    def test_the_manuals_example_is_a_configuration(self):
        manual = (SOURCE / "daemon" / "privydns.yaml.5").read_text().replace("\\-", "-")
        example = re.search(r"^\.Sh DNS STAMPS\n(?:.*\n)*?\.Bd [^\n]*\n((?:.*\n)*?)\.Ed", manual,
                            re.M)[1]
        self.assertIn("provider_key", example)
        file = self.path("etc") / "privydns.yaml"
        file.write_text("user: root\n" + example)
        done = run(PRIVYDNSD, "-t", "-c", file)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_stamps_that_cannot_be_asked(self):
        for url, why in ((stamp(b"\x04" + bytes(8) + b"\0\0" + counted(b"a.example")),
                          "doq is not built in"),
                         (stamp(b"\x81" + counted(b"192.0.2.1")), "stamp of a relay"),
                         ("sdns://AAcAA", "base64url")):
            with self.subTest(why=why):
                done = run(PRIVYDNS, "-u", url, "www.example")
                self.assertEqual(done.returncode, 2)
                self.assertIn(why, done.stderr)
