"""The demo upstream: python3 demo.py PRIVYDNSD [privydnsd options]

Real servers on loopback over a small zone, with a certificate of a throw-away CA: dnsdist speaks
DNS over TLS and over HTTPS before unbound. privydnsd runs in the foreground; the servers end with it.
"""
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from servers import CA, Dnsdist, Unbound, free_port  # noqa: E402

NAME = "demo.example"


def start_servers(directory):
    """Starts them; returns (servers, upstream entries of the configuration)."""
    ca = CA(directory / "ca", "privydns-demo-ca")
    certificate = ca.issue("demo", [NAME, "127.0.0.1"])
    resolver = Unbound(directory / "unbound", "127.0.0.1", free_port()).start()
    https = free_port()
    dnsdist = Dnsdist(directory / "dnsdist", "127.0.0.1", free_port(), certificate, resolver,
                      https=https).start()
    urls = {"demo-dot": dnsdist.url(NAME),
            "demo-doh": f"https://127.0.0.1:{https}/dns-query#{NAME}"}
    return [resolver, dnsdist], [{"url": url, "name": name, "ca_file": str(ca.crt)}
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
        servers, upstreams = start_servers(directory)
        file = write_config(directory, upstreams)
        print(f"demo: dnsdist (DoT, DoH) before unbound; configuration: {file}", flush=True)
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
