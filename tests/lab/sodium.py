"""libsodium, as far as DNSCrypt needs it: nothing to install that the daemon does not have already.

`Box` seals and opens packets as either side [DNSCrypt v2 §6, §7]; `sign` is for certificates.
"""
import ctypes
import hashlib
import os

XSALSA, XCHACHA = 1, 2        # constructions, by their numbers in certificates
CALLS = {XSALSA: "crypto_box_", XCHACHA: "crypto_box_curve25519xchacha20poly1305_"}
QUERY_MAGIC = 8               # octets, as the certificate says
REPLY_MAGIC = b"r6fnvWj8"
NONCE, HALF, TAG = 24, 12, 16
QUERY_HEAD = QUERY_MAGIC + 32 + HALF

sodium = ctypes.CDLL("libsodium.so.23")
if sodium.sodium_init() < 0:
    raise ImportError("libsodium does not start")


def length(octets):
    return ctypes.c_ulonglong(len(octets))


def secret_of(label):
    """The same key each time: a server that is started again is who it was."""
    return hashlib.sha256(label.encode()).digest()


def public_of(secret):
    public = ctypes.create_string_buffer(32)
    sodium.crypto_scalarmult_base(public, secret)
    return public.raw


class Signer:
    """A provider's long-term key."""

    def __init__(self, seed):
        public, self.secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
        sodium.crypto_sign_seed_keypair(public, self.secret, seed)
        self.public = public.raw

    def sign(self, octets):
        signature = ctypes.create_string_buffer(64)
        sodium.crypto_sign_detached(signature, None, octets, length(octets), self.secret)
        return signature.raw


class Box:
    """What one side's secret and the other's public key make. ValueError: a weak key."""

    def __init__(self, construction, public, secret):
        self.calls, key = CALLS[construction], ctypes.create_string_buffer(32)
        if self.call("beforenm")(key, public, secret):
            raise ValueError("a weak key")
        self.key = key.raw

    def call(self, name):
        return getattr(sodium, self.calls + name)

    def seal(self, octets, nonce):
        out = ctypes.create_string_buffer(TAG + len(octets))
        self.call("easy_afternm")(out, octets, length(octets), nonce, self.key)
        return out.raw

    def open(self, octets, nonce):
        """None: it is not what was sealed."""
        out = ctypes.create_string_buffer(max(1, len(octets) - TAG))
        if len(octets) < TAG or \
                self.call("open_easy_afternm")(out, octets, length(octets), nonce, self.key):
            return None
        return out.raw[:len(octets) - TAG]


def padded(octets, size):
    """0x80, then zeros, so that it has this size [ISO/IEC 7816-4]."""
    return octets + b"\x80" + bytes(size - len(octets) - 1)


def unpadded(octets):
    """None: there is no padding, or no end to it."""
    text = octets.rstrip(b"\0")
    return text[:-1] if text.endswith(b"\x80") else None


def seal_query(box, magic, public, octets, half=None):
    half = half or os.urandom(HALF)
    return magic + public + half + box.seal(octets, half + bytes(HALF))


def seal_reply(box, half, octets, other=None):
    nonce = half + (other or os.urandom(HALF))
    return REPLY_MAGIC + nonce + box.seal(octets, nonce)


def open_reply(box, half, packet):
    """What is in it, unpadded, or None."""
    nonce = packet[len(REPLY_MAGIC):len(REPLY_MAGIC) + NONCE]
    if not packet.startswith(REPLY_MAGIC) or nonce[:HALF] != half:
        return None
    octets = box.open(packet[len(REPLY_MAGIC) + NONCE:], nonce)
    return octets and unpadded(octets)
