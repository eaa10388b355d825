"""Words for what takes more speed than Python has.

    storm 400 names for 5s                   dnsperf: these names at random, from 16 sockets, as fast
                                             as they are answered
"""
import random
import re

import harness
from scenario import seconds, word

IN_FLIGHT, SOCKETS = 100, 16


@word("storm", beside=True)
def storm(lab, step):
    """All are answered, and none with an error."""
    count, period = re.fullmatch(r"(\d+) names for (\S+)", step.text).groups()
    names = [f"s{number}.load.lab A\n" for number in range(int(count))] * 20
    random.shuffle(names)
    file = lab.dir / "storm"
    file.write_text("".join(names))
    patience = seconds(period)
    done = harness.run("dnsperf", "-s", lab.daemon.address, "-d", file, "-q", IN_FLIGHT, "-c", SOCKETS,
                       "-l", max(1, round(patience)), timeout=patience + 30)
    found = dict(re.findall(r"(?:Queries|Response) (\w+): +(\S.*)", done.stdout))
    if "lost" not in found or int(found["lost"].split()[0]) or \
            found["codes"] != f"NOERROR {found['completed'].split()[0]} (100.00%)":
        raise AssertionError(done.stdout + done.stderr)
    lab.notes.append(f"{found['completed']} answers in a storm")
