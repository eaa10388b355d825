"""First figures: python3 tests/bench/bench.py BUILD [--rounds N] [--seconds N]

Everything is measured in one run on one machine, in interleaved rounds, and told as a ratio to a
floor measured beside it: absolute figures move with the machine. The servers have one CPU, the
load generator (and the upstream) another, where there are two.
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
from dnscrypt import Dnscrypt, Provider, TcpOnly  # noqa: E402
from servers import CA, Backend, Haproxy, Process, Unbound, free_port, wait_until  # noqa: E402

NAME = "dot.example"
HOT = 10000
CACHED = 100000
QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01"


def pinned(cpu, *argv):
    """The command on that CPU, where there are two."""
    if (os.cpu_count() or 1) < 2:
        return list(argv)
    return ["taskset", "-c", str(cpu), *map(str, argv)]


def cpu_seconds(pid):
    """CPU time of all its threads, from the scheduler."""
    return sum(int(task.read_text().split()[0])
               for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def status(pid, field):
    """A number of /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.M).group(1))


def wakeups(pid):
    """How often its threads went to sleep and so were woken."""
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", task.read_text(), re.M)
                   .group(1)) for task in Path(f"/proc/{pid}/task").glob("*/status"))


def answers(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.05)
        s.connect(("127.0.0.1", port))  # so that nobody listening yet is told at once
        try:
            s.send(QUERY)
            return bool(s.recv(4096))
        except OSError:
            return False


def dnsperf(port, names, *options):
    """Runs it on CPU 1; returns (queries completed per second, completed, lost)."""
    done = subprocess.run(pinned(1, "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(names),
                                 *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=True, text=True)
    rate = float(re.search(r"Queries per second: +([\d.]+)", done.stdout).group(1))
    count, lost = (int(re.search(rf"Queries {word}: +(\d+)", done.stdout).group(1))
                   for word in ("completed", "lost"))
    return rate, count, lost


class Figures:
    """Samples of several contestants, told as median and spread."""

    def __init__(self):
        self.samples = {}

    def add(self, key, value):
        self.samples.setdefault(key, []).append(value)

    def median(self, key):
        return statistics.median(self.samples[key])

    def text(self, key, form="{:.2f}"):
        values = self.samples[key]
        low, middle, high = (form.format(v) for v in
                             (min(values), statistics.median(values), max(values)))
        return f"{middle} ({low} to {high})"


class Bench:
    def __init__(self, build, rounds, seconds):
        self.program = Path(build).resolve() / "daemon" / "privydnsd"
        self.rounds, self.seconds = rounds, seconds
        self.dir = Path(tempfile.mkdtemp(prefix="privydns-bench-"))
        self.dir.chmod(0o755)
        self.running = []
        self.fresh = 0

    def close(self):
        for one in reversed(self.running):
            one.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def begin(self, process):
        self.running.append(process)
        return process

    def end(self, process):
        process.stop()
        self.running.remove(process)

    def prepare(self):
        self.ca = CA(self.dir / "ca")
        self.certificate = self.ca.issue("upstream", [NAME])
        self.client = self.ca.issue("client", ["client.example"])
        self.upstream = self.begin(Unbound(self.dir / "unbound", "127.0.0.1", free_port(),
                                           self.certificate, extra="tcp-idle-timeout: 3000",
                                           https=free_port()))
        self.upstream.start()
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(self.upstream.process.pid, {1})
        self.hot = self.names("hot", HOT)
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", self.dir / "echo",
                        HERE / "echo.c"], check=True)
        self.echo_port = free_port()
        self.echo = self.begin(Process("echo", pinned(0, self.dir / "echo", self.echo_port),
                                       self.dir))
        self.echo.ready(lambda: answers(self.echo_port))

    def names(self, label, count):
        file = self.dir / f"names-{label}"
        file.write_text("".join(f"{label}{i}.wild.example A\n" for i in range(count)))
        return file

    def fresh_names(self, count):
        self.fresh += 1
        return self.names(f"f{self.fresh}x", count)

    def upstream_entry(self, protocol, server=None):
        """A configuration entry; with a server that demands a certificate, ours beside it."""
        if protocol == "dnscrypt":
            return server.provider.entry(server)
        server = server or self.upstream
        url = (f"https://127.0.0.1:{server.https}/dns-query#{NAME}" if protocol == "doh"
               else server.url(NAME))
        entry = {"url": url, "ca_file": str(self.ca.crt)}
        if server is not self.upstream:
            entry |= {"client_cert": str(self.client.crt), "client_key": str(self.client.key)}
        return entry

    def daemon(self, wait=True, protocol="dot", server=None):
        """privydnsd on CPU 0 over the upstream."""
        port = free_port()
        upstream = self.upstream_entry(protocol, server)
        config = {"listen": [f"127.0.0.1:{port}"], "pools": {"default": {"upstreams": [upstream]}},
                  "cache": {"size": "128MiB"}, "log": {"target": "stderr", "level": "warning"}}
        file = self.dir / f"privydns-{port}.yaml"
        file.write_text(json.dumps(config))
        env = {**os.environ}
        if os.getuid() == 0:
            env["PRIVYDNS_USER"] = "nobody"
        process = self.begin(Process("privydnsd", pinned(0, self.program, "-c", file), self.dir,
                                     env=env))
        process.port = port
        if wait:
            process.ready(lambda: answers(port))
        return process

    # ---- what is measured ----

    def loaded(self, figures, key, process, port, names, *options):
        before = cpu_seconds(process.pid)
        rate, count, lost = dnsperf(port, names, *options)
        figures.add(key + " rate", rate)
        figures.add(key + " cpu", (cpu_seconds(process.pid) - before) / count * 1e6)
        figures.add(key + " lost", lost)

    def cached(self):
        daemon = self.daemon()
        dnsperf(daemon.port, self.hot, "-n", "1", "-q", "100")
        full, paced = Figures(), Figures()
        for _ in range(self.rounds):
            for key, process, port in (("echo", self.echo, self.echo_port),
                                       ("us", daemon, daemon.port)):
                self.loaded(full, key, process, port, self.hot, "-l", str(self.seconds), "-q",
                            "200", "-c", "4")
                self.loaded(paced, key, process, port, self.hot, "-l", str(self.seconds), "-Q",
                            "10000")
        self.end(daemon)
        print(f"Cached answers over UDP ({HOT} names) against a bare recvmmsg/sendmmsg echo")
        for label, figures in (("full load", full), ("10 000 q/s", paced)):
            for key in ("echo", "us"):
                print(f"  {label:11} {key:5} {figures.text(key + ' rate', '{:.0f}')} q/s, "
                      f"CPU {figures.text(key + ' cpu')} us/query, "
                      f"lost {int(sum(figures.samples[key + ' lost']))}")
            print(f"  {label:11} ratio {ratio(figures, 'us rate', 'echo rate')} of its rate, "
                  f"{ratio(figures, 'us cpu', 'echo cpu')} x its CPU")

    def forwarded(self):
        for protocol, port in (("dot", self.upstream.port), ("doh", self.upstream.https)):
            self.forwarded_over(protocol, port)

    def forwarded_over(self, protocol, port):
        daemon = self.daemon(protocol=protocol)
        figures = Figures()
        count = 20000 * self.seconds
        for _ in range(self.rounds):
            straight = self.fresh_names(count)
            rate, _, lost = dnsperf(port, straight, "-n", "1", "-q", "100", "-m", protocol,
                                    *(("-O", f"doh-uri=https://127.0.0.1:{port}/dns-query")
                                      if protocol == "doh" else ()))
            figures.add("straight rate", rate)
            figures.add("straight lost", lost)
            self.loaded(figures, "us", daemon, daemon.port, self.fresh_names(count), "-n", "1",
                        "-q", "100")
        self.end(daemon)
        print(f"Forwarded over {protocol}, every name distinct, 100 in flight, against dnsperf "
              f"-m {protocol} straight to the same unbound")
        print(f"  straight    {figures.text('straight rate', '{:.0f}')} q/s, "
              f"lost {int(sum(figures.samples['straight lost']))}")
        print(f"  us          {forwarding(figures, 'us')}")
        print(f"  ratio       {ratio(figures, 'us rate', 'straight rate')} of its rate")

    def mutual(self):
        """dnsperf has no client certificate to show: we are compared with ourselves."""
        backend = self.begin(Backend(self.dir / "backend", "127.0.0.9"))
        backend.start()
        demanding = Haproxy(self.dir / "haproxy", "127.0.0.1", self.certificate, backend,
                            self.ca.crt, port=free_port(), https=free_port())
        self.begin(demanding).start()
        figures = Figures()
        kinds = {f"{protocol}{' with a certificate' if server else ''}":
                 self.daemon(protocol=protocol, server=server)
                 for protocol in ("dot", "doh") for server in (None, demanding)}
        for _ in range(self.rounds):
            for kind, daemon in kinds.items():
                self.loaded(figures, kind, daemon, daemon.port,
                            self.fresh_names(10000 * self.seconds), "-n", "1", "-q", "100")
        print("Mutual TLS, through haproxy, beside the same protocol straight to unbound")
        for kind, daemon in kinds.items():
            self.end(daemon)
            print(f"  {kind:23} {forwarding(figures, kind)}")
        self.end(demanding)
        self.end(backend)

    def sealed(self):
        """What goes over TCP has a connection for each question, and a datagram beside it."""
        backend = self.begin(Backend(self.dir / "sealed-backend", "127.0.0.9", free_port(),
                                     free_port()))
        backend.start()
        provider = Provider()
        server = Dnscrypt(self.dir / "dnsdist", "127.0.0.1", free_port(), provider,
                          [provider.certificate()], backend)
        self.begin(server).start()
        over_tcp = TcpOnly(self.dir / "tcp-only", "127.0.0.1", free_port(), server)
        self.begin(over_tcp).start()
        if (os.cpu_count() or 1) > 1:
            for one in (backend, server, over_tcp):
                os.sched_setaffinity(one.process.pid, {1})
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", self.dir / "sealed",
                        HERE / "sealed.c", "-lsodium"], check=True)
        figures = Figures()
        kinds = {"UDP": (self.daemon(protocol="dnscrypt", server=server), 10000, 512),
                 "TCP": (self.daemon(protocol="dnscrypt", server=over_tcp), 2000, 704)}
        for daemon, _, _ in kinds.values():
            dnsperf(daemon.port, self.fresh_names(100), "-n", "1", "-q", "10")
        for _ in range(self.rounds):
            for kind, (daemon, rate, padded) in kinds.items():
                self.loaded(figures, kind, daemon, daemon.port,
                            self.fresh_names(rate * self.seconds), "-n", "1", "-q", "60")
                figures.add(kind + " sodium", float(subprocess.run(
                    pinned(0, self.dir / "sealed", padded, 128), check=True,
                    stdout=subprocess.PIPE).stdout))
        print("Forwarded over dnscrypt, every name distinct, 60 in flight, through dnsdist")
        for kind, (daemon, _, _) in kinds.items():
            self.end(daemon)
            share = figures.median(kind + " sodium") / figures.median(kind + " cpu")
            print(f"  {kind:11} {forwarding(figures, kind)}; libsodium "
                  f"{figures.text(kind + ' sodium')} us of it, {share:.0%}")
        for one in (over_tcp, server, backend):
            self.end(one)

    def memory(self):
        daemon = self.daemon()
        start = {field: status(daemon.pid, field) for field in ("VmRSS", "RssAnon")}
        _, count, _ = dnsperf(daemon.port, self.fresh_names(CACHED), "-n", "1", "-q", "100")
        grown = status(daemon.pid, "RssAnon") - start["RssAnon"]
        self.end(daemon)
        print("Memory")
        print(f"  at start    {start['VmRSS']} KiB resident, {start['RssAnon']} KiB of it our own "
              "(RssAnon)")
        print(f"  cached      {grown * 1024 / count:.0f} octets per entry (RssAnon, {count} names)")

    def starting(self):
        figures = Figures()
        for _ in range(max(self.rounds, 5)):
            begun = time.monotonic()
            daemon = self.daemon(wait=False)
            wait_until(lambda: answers(daemon.port), 10, step=0.0005)
            figures.add("first", (time.monotonic() - begun) * 1000)
            self.end(daemon)
        print("Start")
        print(f"  first answer through DoT after {figures.text('first', '{:.1f}')} ms, fork and "
              "exec included")

    def idle(self, seconds=20):
        daemon = self.daemon()
        time.sleep(5)  # the upstream closes its idle connection after 3 s
        before = wakeups(daemon.pid)
        time.sleep(seconds)
        count = wakeups(daemon.pid) - before
        self.end(daemon)
        print("Idle")
        print(f"  wake-ups    {count * 60 / seconds:.0f} a minute ({count} in {seconds} s)")


def forwarding(figures, key):
    return (f"{figures.text(key + ' rate', '{:.0f}')} q/s, CPU {figures.text(key + ' cpu')} "
            f"us/query, lost {int(sum(figures.samples[key + ' lost']))}")


def ratio(figures, one, other):
    return f"{figures.median(one) / figures.median(other):.2f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    arguments = parser.parse_args()
    bench = Bench(arguments.build, arguments.rounds, arguments.seconds)
    try:
        bench.prepare()
        print(f"Medians of {arguments.rounds} interleaved rounds (least to most)")
        for part in (bench.cached, bench.forwarded, bench.mutual,
                     bench.sealed, bench.memory, bench.starting, bench.idle):
            part()
            sys.stdout.flush()
    finally:
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
