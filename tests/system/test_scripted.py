"""The scripted DNSCrypt server of the lab, by known answers: what it seals and signs is right."""
import json
import unittest

import harness
import sodium

VECTORS = json.loads((harness.SOURCE / "tests/vectors/dnscrypt.json").read_text())
KEYS = {name: bytes.fromhex(value) for name, value in VECTORS["keys"].items()}
SIGNED = 72


def octets(row, name):
    return bytes.fromhex(row[name])


class Sealed(unittest.TestCase):
    """Both constructions."""

    def boxes(self, row):
        """The client's and the server's, which are the same."""
        construction = row["es_version"]
        client = sodium.Box(construction, KEYS["resolver_public_key"], KEYS["client_secret_key"])
        server = sodium.Box(construction, KEYS["client_public_key"], KEYS["resolver_secret_key"])
        self.assertEqual(client.key, octets(row, "shared_key"))
        self.assertEqual(server.key, client.key)
        return client, server

    def test_queries(self):
        for row in VECTORS["query_encrypt"]:
            with self.subTest(row["id"]):
                client, server = self.boxes(row)
                padded = sodium.padded(octets(row, "dns_query"), row["padded_length"])
                half, packet = octets(row, "client_nonce"), octets(row, "datagram")
                self.assertEqual(sodium.seal_query(client, octets(row, "client_magic"),
                                                   octets(row, "client_public_key"), padded, half),
                                 packet)
                opened = server.open(packet[sodium.QUERY_HEAD:], half + bytes(sodium.HALF))
                self.assertEqual(sodium.unpadded(opened), octets(row, "dns_query"))

    def test_replies(self):
        for row in VECTORS["response_decrypt"]:
            with self.subTest(row["id"]):
                box, _ = self.boxes(row)
                half, packet = octets(row, "expected_client_nonce"), octets(row, "datagram")
                opened = sodium.open_reply(box, half, packet)
                if row["expect"] == "drop":
                    self.assertFalse(opened and len(opened) >= 12)
                    continue
                self.assertEqual(opened, octets(row, "dns_response"))
                text = box.open(packet[32:], packet[8:32])
                self.assertEqual(sodium.seal_reply(box, half, text, packet[20:32]), packet)

    def test_weak_key(self):
        for construction in sodium.CALLS:
            with self.assertRaises(ValueError):
                sodium.Box(construction, octets(VECTORS["weak_public_key"], "hex"),
                           KEYS["client_secret_key"])


class Signed(unittest.TestCase):
    """Certificates."""

    def test_signatures(self):
        signer = sodium.Signer(KEYS["provider_seed"])
        self.assertEqual(signer.public, KEYS["provider_public_key"])
        for row in VECTORS["certificates"]:
            with self.subTest(row["id"]):
                record = octets(row, "hex")
                self.assertEqual(signer.sign(record[SIGNED:]) == record[8:SIGNED],
                                 row["reason"] not in ("bad signature", "too short"))
