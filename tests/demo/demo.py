"""The demo upstream: python3 demo.py PRIVYDNSD [privydnsd options]

Real servers on loopback over a small zone, with certificates of a throw-away CA: dnsdist speaks DNS
over TLS, over HTTPS and DNSCrypt before unbound, and so does haproxy the first two, to clients that
show a certificate.
privydnsd runs in the foreground; the servers end with it.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
import dnscrypt  # noqa: E402
from servers import CA, Backend, Dnsdist, Haproxy, free_port  # noqa: E402

NAME = "demo.example"


def start_servers(directory, started):
    """Appends them to started; returns the upstream entries of the configuration."""
    ca = CA(directory / "ca", "privydns-demo-ca")
    certificate = ca.issue("demo", [NAME, "127.0.0.1"])
    client = ca.issue("client", ["client.example"])
    resolver = Backend(directory / "unbound", "127.0.0.1", free_port(), free_port())
    provider, sealed = dnscrypt.Provider(), free_port()
    keys = directory / "dnscrypt"
    keys.mkdir()
    bind = dnscrypt.bind(keys, "127.0.0.1", sealed, provider,
                         [provider.certificate(end=365 * dnscrypt.DAY)])
    dnsdist = Dnsdist(directory / "dnsdist", "127.0.0.1", free_port(), certificate, resolver,
                      https=free_port(), extra=bind)
    haproxy = Haproxy(directory / "haproxy", "127.0.0.1", certificate, resolver, ca.crt,
                      port=free_port(), https=free_port())
    for server in (resolver, dnsdist, haproxy):
        started.append(server.start())
    user = os.environ.get("PRIVYDNS_USER")
    if user and os.getuid() == 0:
        shutil.chown(client.key, user)  # so that it can be read again when it changes
    known = {"client_cert": str(client.crt), "client_key": str(client.key)}
    return [*entries(dnsdist, "", ca, {}), *entries(haproxy, "-mtls", ca, known),
            provider.entry_at("127.0.0.1", sealed, name="demo-dnscrypt")]


def entries(server, suffix, ca, more):
    urls = {"demo-dot": server.url(NAME),
            "demo-doh": f"https://127.0.0.1:{server.https}/dns-query#{NAME}"}
    return [{"name": name + suffix, "url": url, "ca_file": str(ca.crt), **more}
            for name, url in urls.items()]


def write_config(directory, upstreams):
    file = directory / "privydns.yaml"
    pools = {"default": {"upstreams": upstreams}}
    file.write_text(json.dumps({"pools": pools}, indent=2) + "\n")  # JSON is YAML
    return file


def main():
    program, arguments = sys.argv[1], sys.argv[2:]
    directory = Path(tempfile.mkdtemp(prefix="privydns-demo-"))
    directory.chmod(0o755)
    servers = []
    try:
        file = write_config(directory, start_servers(directory, servers))
        print("demo: dnsdist (DoT, DoH, DNSCrypt) and haproxy (the first two, with client "
              f"certificates) before unbound; configuration: {file}", flush=True)
        daemon = subprocess.Popen([program, "-c", str(file), *arguments])
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, _: daemon.send_signal(got))
        code = daemon.wait()
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
