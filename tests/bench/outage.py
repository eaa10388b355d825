"""What a client sees while its only upstream is at fault: privydnsd beside other forwarders.

    python3 outage.py [BUILD]

Each forwarder, with its defaults, asks one scripted DoT server; 10 warm-up questions, then 40 in 4 s
while the fault lasts, each waiting up to 10 s; then the fault ends. In namespaces of its own.
"""
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
if len(sys.argv) > 1:
    os.environ["PRIVYDNS_BUILD"] = str(Path(sys.argv[1]).resolve())

UPSTREAM = "127.0.0.2"
QUESTIONS, SECONDS, PATIENCE, HEALING = 40, 4, 10, 30


def namespaces():
    """The same program again, where every address is this machine and no port is taken."""
    script = "ip link set lo up && ip route add local default dev lo && exec \"$@\""
    os.execvp("unshare", ["unshare", "--net", "--mount", "sh", "-c", script, "sh", sys.executable,
                          __file__, *sys.argv[1:2], "--inside"])


if os.getuid() != 0:
    sys.exit("outages: skipped, network namespaces need root")
if "--inside" not in sys.argv:
    namespaces()

from harness import NAME, Daemon, Process, SystemTest, Upstream, servers  # noqa: E402


# What the server does meanwhile, and when it has healed: a connection with half an answer stays so.
FAULTS = {"stale": ("silence on old connections", "honest"),
          "half": ("half answer", "silence on old connections"),
          "down": ("refuse", "honest")}


def unbound(test):
    return f"""server:
 interface: 127.0.0.1@53
 username: ""
 chroot: ""
 directory: "."
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 do-not-query-localhost: no
 module-config: "iterator"
 tls-cert-bundle: "{test.ca.crt}"
forward-zone:
 name: "."
 forward-tls-upstream: yes
 forward-addr: {UPSTREAM}@853#{NAME}
"""


def dnsdist(test):
    return (f"setLocal('127.0.0.1:53')\nsetSecurityPollSuffix('')\n"
            f"newServer({{address='{UPSTREAM}:853', tls='openssl', subjectName='{NAME}', "
            f"caStore='{test.ca.crt}'}})\n")


def stubby(test):
    return f"""resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list:
  - GETDNS_TRANSPORT_TLS
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_ca_file: "{test.ca.crt}"
idle_timeout: 10000
listen_addresses:
  - 127.0.0.1@53
upstream_recursive_servers:
  - address_data: {UPSTREAM}
    tls_auth_name: "{NAME}"
"""


OTHERS = {
    "unbound": (unbound, lambda path: [servers.own_copy("unbound", path), "-d", "-c", "conf.yml"]),
    "dnsdist": (dnsdist, lambda path: [servers.program("dnsdist"), "--supervised",
                                       "--disable-syslog", "-C", "conf.yml"]),
    "stubby": (stubby, lambda path: [servers.program("stubby"), "-C", "conf.yml"]),
}


class Bench(SystemTest):
    def forwarder(self, name):
        if name == "privydnsd":
            return self.daemon(UPSTREAM, level="notice").process
        config, command = OTHERS[name]
        path = self.path(name)
        (path / "conf.yml").write_text(config(self))
        process = Process(name, [str(word) for word in command(path)], path)
        self.addCleanup(process.stop)
        return process

    def answers(self, question, patience=PATIENCE):
        """The RCODE, or None for silence."""
        try:
            return int(self.client.ask(question, timeout=patience).rcode())
        except Exception:  # pylint: disable=broad-except
            return None

    def load(self, label):
        results, threads = [], []

        def one(question):
            begun = time.monotonic()
            results.append((self.answers(question), time.monotonic() - begun))
        for i in range(QUESTIONS):
            threads.append(threading.Thread(target=one, args=(f"{label}{i}.example",)))
            threads[-1].start()
            time.sleep(SECONDS / QUESTIONS)
        for thread in threads:
            thread.join()
        return results

    def measure(self, name, mode):
        fault, healed_deeds = FAULTS[mode]
        self.client = Daemon(self.path("client"), None)
        peer = Upstream(UPSTREAM, self.certificate).start()
        process = self.forwarder(name)
        process.ready(lambda: self.answers("ready.example", 1) == 0)
        for i in range(10):
            self.answers(f"warm{i}.example")
        peer.behave(fault)
        if mode == "down":
            peer.disconnect()
        results = self.load(f"{mode}-")
        peer.behave(healed_deeds)
        healed, begun = None, time.monotonic()
        while healed is None and time.monotonic() - begun < HEALING:
            if self.answers(f"heal{time.monotonic()}.example", 1) == 0:
                healed = time.monotonic() - begun
        process.stop()
        peer.stop()
        self.doCleanups()
        return results, healed

    def runTest(self):
        for mode in FAULTS:
            for name in ("privydnsd", *OTHERS):
                results, healed = self.measure(name, mode)
                good = sum(rcode == 0 for rcode, _ in results)
                silent = sum(rcode is None for rcode, _ in results)
                worst = max(seconds for _, seconds in results)
                after = f"{healed:.1f} s" if healed is not None else f"not within {HEALING} s"
                print(f"{mode:6} {name:10} answered {good}, errors {len(results) - good - silent}, "
                      f"silence {silent} of {QUESTIONS}; worst {worst:.1f} s; healed after {after}",
                      flush=True)


if __name__ == "__main__":
    Bench.setUpClass()
    bench = Bench()
    try:
        bench.debug()
    finally:
        Bench.tearDownClass()
        Bench.doClassCleanups()
