"""Words and checks about what anybody on the way sees.

    plaintext a                              a server on port 53 of a's address, which works: a53
    watch the wire                           from now on, for:
    expect nothing in plaintext

    expect server name a dot.example         the only one in any ClientHello; none: there is none
    expect early data a 0                    ClientHellos with that extension
"""
from checks import COMPARED, Failed, check, compare
from do53 import Do53
from remote import Remote
from scenario import word
from wire import Watch


@word("plaintext")
def plaintext(lab, step):
    for name in step.text.split():
        directory = lab.dir / f"plaintext-{name}"
        directory.mkdir()
        lab.upstreams[name + "53"] = Remote(directory, lab.upstreams[name].address, Do53,
                                            None).start()


@word("watch")
def watch(lab, step):
    if step.text != "the wire":
        raise ValueError(f"not to be watched: {step.text}")
    lab.watch = Watch().start()


@check(r"nothing in plaintext")
def nothing_in_plaintext(lab):
    """Beside what clients and the daemon say to each other."""
    packets = lab.watch.stop()
    if not packets:
        raise Failed("no packet was seen at all")
    for packet in packets:
        if packet.shows_a_name or 53 in packet.ports:
            raise Failed(str(packet))


@check(r"server name (?P<name>[a-z]\S*) (?P<wanted>\S+)")
def server_name(lab, name, wanted):
    found = lab.upstreams[name].do("counts")["server names"]
    if list(found) != ["" if wanted == "none" else wanted]:
        raise Failed(str(found))


@check(r"early data (?P<name>[a-z]\S*)" + COMPARED)
def early_data(lab, name, op, value):
    compare(lab.upstreams[name].do("counts")["early data"], op, int(value))
