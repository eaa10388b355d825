"""DNSCrypt for tests: a provider's keys and certificates, and dnsdist that serves them.

Signatures and keys are libsodium's, through ctypes: nothing to install that is not there already.
"""
import ctypes
import ctypes.util
import os
import socket
import struct
import threading
import time
from pathlib import Path

from servers import Server, bracketed, free_port, program, wait_until

sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))
if sodium.sodium_init() < 0:
    raise ImportError("libsodium does not start")

NAME = "2.dnscrypt-cert.example"
XSALSA, XCHACHA = 1, 2
DAY = 86400


class Provider:
    """A long-term key that signs certificates."""

    def __init__(self, name=NAME):
        self.name = name
        public, self.secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
        sodium.crypto_sign_keypair(public, self.secret)
        self.key = public.raw

    def certificate(self, construction=XCHACHA, serial=1, start=-DAY, end=DAY, spoilt=False):
        """(certificate, resolver's secret key); start and end are seconds from now."""
        secret, public = os.urandom(32), ctypes.create_string_buffer(32)
        sodium.crypto_scalarmult_base(public, secret)
        now = int(time.time())
        signed = public.raw + public.raw[:8] + struct.pack("!III", serial, now + start, now + end)
        signature = ctypes.create_string_buffer(64)
        sodium.crypto_sign_detached(signature, None, signed, ctypes.c_ulonglong(len(signed)),
                                    self.secret)
        if spoilt:
            signature[0] = bytes([signature.raw[0] ^ 1])
        return b"DNSC" + struct.pack("!HH", construction, 0) + signature.raw + signed, secret

    def entry(self, server, **more):
        """Of a configuration: the upstream that this server is."""
        return self.entry_at(server.address, server.port, **more)

    def entry_at(self, address, port, **more):
        return {"provider_name": self.name, "provider_key": self.key.hex(), "allow_xsalsa": True,
                "addresses": [bracketed(address, port)], **more}


def write(directory, label, certificate, secret):
    (directory / f"cert-{label}").write_bytes(certificate)
    (directory / f"key-{label}").write_bytes(secret)


def bind(directory, address, port, provider, certificates):
    """The line of dnsdist's configuration with which it shows these certificates there."""
    for i, (certificate, secret) in enumerate(certificates):
        write(directory, f"0-{i}", certificate, secret)
    files = [", ".join(f"'{directory}/{kind}-0-{i}'" for i in range(len(certificates)))
             for kind in ("cert", "key")]
    return (f"addDNSCryptBind('{bracketed(address, port)}', '{provider.name}', "
            f"{{{files[0]}}}, {{{files[1]}}})")


# Once a second dnsdist looks whether there is something to do.
TURNS = """
local turn = 0
function maintenance()
  local name = 'turn-' .. (turn + 1)
  local file = io.open(name)
  if file == nil then return end
  file:close()
  turn = turn + 1
  dofile(name)
  infolog('done: ' .. name)
end
"""


class Dnscrypt(Server):
    """dnsdist speaking DNSCrypt, UDP and TCP, before another server."""

    def __init__(self, directory, address, port, provider, certificates, backend, extra=""):
        super().__init__(directory, address, port)
        self.turns = 0
        self.provider = provider
        lines = [
            f"setLocal('127.0.0.1:{free_port()}')", "setSecurityPollSuffix('')",
            "setACL({'0.0.0.0/0', '::/0'})", "setMaxTCPClientThreads(4)",
            f"newServer({{address='{bracketed(backend.address, backend.port)}', "
            "healthCheckMode='up', sockets=4})",
            bind(self.dir, address, port, provider, certificates), TURNS, extra]
        (self.dir / "dnsdist.conf").write_text("\n".join(lines) + "\n")

    def start(self):
        return self.launch([program("dnsdist"), "--supervised", "--disable-syslog", "-C",
                            "dnsdist.conf"])

    def do(self, lua):
        """Runs this in the server, and waits until it has."""
        self.turns += 1
        name = f"turn-{self.turns}"
        (self.dir / "next").write_text(lua + "\n")
        (self.dir / "next").rename(self.dir / name)
        wait_until(lambda: f"done: {name}" in self.process.text(), what=f"dnsdist does {name}")

    def show(self, label, certificate, secret, hide=()):
        """From now on it has this certificate too; those with serials to hide are not shown, though
        what was sealed for them is still opened."""
        write(self.dir, label, certificate, secret)
        hidden = "".join(f"getDNSCryptBind(0):markInactive({serial})\n" for serial in hide)
        self.do(f"{hidden}getDNSCryptBind(0):loadNewCertificate("
                f"'cert-{label}', 'key-{label}', true)")

    def replace(self, certificate, secret):
        """It has this certificate only: what was sealed for another is no longer opened."""
        for kind, octets in (("cert", certificate), ("key", secret)):
            for file in self.dir.glob(f"{kind}-*"):
                file.write_bytes(octets)
        self.do("getDNSCryptBind(0):reloadCertificates()")


class TcpOnly(Server):
    """The same server, as one sees it where sealed datagrams do not get through. (Certificates do:
    dnsdist 1.7 answers who asks for them over TCP with an empty message.)"""

    def __init__(self, directory, address, port, behind):
        super().__init__(directory, address, port)
        self.provider = behind.provider
        self.behind = (behind.address, behind.port)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind((address, port))
        self.lost = 0
        (self.dir / "haproxy.cfg").write_text(f"""
global
    log stdout format raw local0
    maxconn 500
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend there
    bind {address}:{port}
    default_backend behind
backend behind
    server one {behind.address}:{behind.port}
""")

    def start(self):
        threading.Thread(target=self.pass_on, daemon=True).start()
        return self.launch([program("haproxy"), "-W", "-db", "-f", "haproxy.cfg"])

    def pass_on(self):
        while True:
            query, client = self.datagrams.recvfrom(65536)
            if not query:
                return
            if self.provider.name.encode()[-7:] not in query:
                self.lost += 1
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.settimeout(2)
                server.sendto(query, self.behind)
                self.datagrams.sendto(server.recv(65536), client)

    def stop(self):
        super().stop()
        self.datagrams.sendto(b"", (self.address, self.port))
