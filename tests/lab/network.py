"""Words about what lies between the daemon and others.

    route unreachable ADDRESS                there is no way to it
    loss 5% a                                so many packets from and to a are lost
"""
import re

import harness
from scenario import Skipped, word

CHAIN = "INPUT"


@word("route")
def route(lab, step):
    """In the scenario's own network."""
    del lab
    kind, address = step.text.split()
    done = harness.run("ip", "route", "add", kind, address)
    if done.returncode:
        raise ValueError(done.stderr)


def iptables(*words):
    try:
        done = harness.run("iptables", "-w", *words)
    except FileNotFoundError:
        raise Skipped("there is no iptables") from None
    if done.returncode:
        raise Skipped(f"iptables: {done.stderr.strip()}")


@word("loss")
def loss(lab, step):
    """Each packet by chance, both ways."""
    share, name = re.fullmatch(r"([\d.]+)% (\S+)", step.text).groups()
    for way in ("--source", "--destination"):
        rule = (CHAIN, way, lab.upstreams[name].address, "-m", "statistic", "--mode", "random",
                "--probability", str(float(share) / 100), "-j", "DROP")
        iptables("--append", *rule)
