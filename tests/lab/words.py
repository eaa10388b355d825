"""The lab, and the words of a scenario that every one needs: servers, the daemon, who asks."""
import json
import re
import shlex
import signal
import threading
import time
import traceback

import dns.exception

import harness
from client import Client
from load import Load
from protocols import PROTOCOLS
from remote import Remote
from scenario import WORDS, ScenarioError, parts, seconds, word

STRATEGIES = ("ordered", "fastest", "spread", "shard")
LISTS = ("listen", "pins", "properties", "relays")


class Lab:
    """What the steps of one scenario share."""

    def __init__(self, directory, scenario, full):
        self.dir, self.scenario, self.full = directory, scenario, full
        self.ca = harness.CA(directory / "ca")
        self.certificate = self.ca.issue("upstream", [harness.NAME])
        self.upstreams, self.daemon, self.loads, self.clients = {}, None, [], []
        self.threads, self.begun = [], None
        self.problems, self.notes, self.asked = [], [], 0
        self.daemon_limits = []  # of the next daemon: options of prlimit(1)
        self.daemon_env = {}     # its environment, beside ours
        self.ended = False       # the daemon was told to end
        self.identities = {}     # certificate and key by name

    # ---- the clock ----

    def now(self):
        return time.monotonic() - self.begun

    def wait_for(self, at):
        """The clock starts with the first line that has a time."""
        if self.begun is None:
            self.begun = time.monotonic() - at
        time.sleep(max(0, at - self.now()))

    def run(self):
        for step in self.scenario.steps:
            if step.word not in WORDS:
                raise step.error(f"not a word: {step.word}")
        for step in self.scenario.steps:
            function, beside = WORDS[step.word]
            if step.at is not None:
                self.wait_for(step.at)
            if beside and step.at is not None:
                thread = threading.Thread(target=self.beside, args=(function, step), daemon=True)
                self.threads.append(thread)
                thread.start()
            else:
                self.guarded(function, step)
        self.join()

    def guarded(self, function, step):
        """A step that fails is a problem; what follows it is still done."""
        try:
            function(self, step)
        except (AssertionError, TimeoutError) as error:
            self.problems.append(f"{step.where}: {error}")
        except (ValueError, harness.servers.StartError) as error:
            raise step.error(error) from error
        except (KeyError, IndexError, AttributeError) as error:  # a word that is missing, or unknown
            raise step.error(f"{type(error).__name__}: {error}") from error

    def beside(self, function, step):
        try:
            self.guarded(function, step)
        except ScenarioError as error:
            self.problems.append(str(error))
        except Exception:  # pylint: disable=broad-except
            self.problems.append(f"{step.where}: {traceback.format_exc()}")

    def join(self):
        while self.threads:
            self.threads.pop().join()

    # ---- ends ----

    def finish(self):
        """What holds after each scenario, and the end of everything."""
        for load in self.loads:
            if load.error:
                self.problems.append(f"load: {load.error!r}")
            if load.crossed:
                self.problems.append(f"{len(load.crossed)} wrong answers, {load.crossed[0]}")
            if load.strange:
                self.problems.append(f"{load.strange} replies to nothing")
        if self.daemon and not self.ended:
            self.finish_daemon()
        for name, upstream in self.upstreams.items():
            upstream.stop()
            if upstream.process.text():
                self.problems.append(f"upstream {name}: {upstream.process.text()}")

    def finish_daemon(self):
        if not self.daemon.process.running():
            self.problems.append(f"privydnsd ended by itself: {self.daemon.process.child.returncode}")
        try:
            code = self.daemon.stop()
        except AssertionError as error:  # a sanitizer's complaint
            self.problems.append(str(error))
            return
        if code:
            self.problems.append(f"privydnsd ended with {code}")
        config = self.daemon.file.read_text()
        if "debug" not in config and '"queries": true' not in config:
            self.problems += [f"a name in the log: {line}"
                              for line in self.daemon.log_lines(r"\w\.lab\b")]

    # ---- configuration ----

    def entry(self, name):
        """An upstream as the configuration has it."""
        upstream = self.upstreams[name]
        return {"name": name, **upstream.kind.entry(upstream, harness.NAME, self.ca.crt)}


def value_of(key, text):
    many = re.fullmatch(r"(\d+) of (\S+)", text)
    if many:
        return [many[2]] * int(many[1])
    if key.split(".")[-1] in LISTS and not text.startswith("["):
        return text.split()
    try:
        return json.loads(text)
    except ValueError:
        return text


def set_path(config, path, value):
    *parents, last = path.split(".")
    for each in parents:
        config = config.setdefault(each, {})
    config[last] = value


# ---- what there is ----

@word("upstream")
def upstream(lab, step):
    """upstream NAME PROTOCOL [DEEDS], NAME PROTOCOL [DEEDS] ..."""
    new = []
    for part in parts(step.text):
        name, protocol, *deeds = part.split(maxsplit=2)
        if protocol not in PROTOCOLS:
            raise ValueError(f"not a protocol: {protocol}")
        directory = lab.dir / f"upstream-{name}"
        directory.mkdir()
        lab.upstreams[name] = Remote(
            directory, f"127.0.0.{len(lab.upstreams) + 2}", PROTOCOLS[protocol], lab.certificate,
            deeds[0] if deeds else "honest")
        lab.upstreams[name].launch()
        new.append(lab.upstreams[name])
    for each in new:
        each.result()


def configuration(lab, text):
    """pool [NAME] STRATEGY UPSTREAM..., KEY VALUE, UPSTREAM.KEY VALUE ..."""
    config = {"user": "root", "listen": ["127.0.0.1:53"],
              "log": {"target": "stderr", "level": "info"}, "pools": {}}
    entries = {name: lab.entry(name) for name in lab.upstreams}
    for part in parts(text):
        key, rest = part.split(maxsplit=1)
        if key == "pool":
            words = rest.split()
            name = "default" if words[0] in STRATEGIES else words.pop(0)
            config["pools"][name] = {"strategy": words[0],
                                     "upstreams": [entries[each] for each in words[1:]]}
            if any(lab.upstreams[each].kind.PLAINTEXT for each in words[1:]):
                config["pools"][name]["plaintext"] = True
        elif key.split(".")[0] in entries:
            set_path(entries[key.split(".")[0]], key.split(".", 1)[1], value_of(key, rest))
        else:
            set_path(config, key, value_of(key, rest))
    for entry in entries.values():
        if "relays" in entry:
            entry["relays"] = [lab.upstreams[each].kind.stamp(lab.upstreams[each].address)
                               for each in entry["relays"]]
        who = lab.identities.get(entry.pop("identity", None))
        if who:
            entry.update(client_cert=str(who.crt), client_key=str(who.key))
    return config


def new_daemon(lab, text, directory="privydnsd"):
    one = harness.Daemon(lab.dir / directory, configuration(lab, text), env=lab.daemon_env)
    if lab.daemon_limits:
        one.before = ["prlimit", *lab.daemon_limits, "--"]
    return one.start()


@word("daemon")
def daemon(lab, step):
    lab.daemon = new_daemon(lab, step.text)


@word("reload")
def reload(lab, step):
    """Another configuration, then SIGHUP; done when the daemon says so."""
    before = len(lab.daemon.log_lines("(?i)reload"))
    lab.daemon.write(configuration(lab, step.text))
    lab.daemon.send(signal.SIGHUP)
    harness.wait_until(lambda: len(lab.daemon.log_lines("(?i)reload")) > before, what="reload")


# ---- what asks ----

LOAD = re.compile(r"(?P<count>\d+)(?:/s for (?P<time>\S+)| one by one)(?: names (?P<names>\d+))?")


@word("load", beside=True)
def load(lab, step):
    """load RATE/s for TIME [names N] | load N one by one [names N]"""
    words = LOAD.fullmatch(step.text)
    if not words:
        raise ValueError(f"not a load: {step.text}")
    count, time_ = int(words["count"]), words["time"]
    one = Load(lab.daemon.address, count if time_ else 0,
               int(count * seconds(time_)) if time_ else count, int(words["names"] or 0),
               begin=lab.begun)
    lab.loads.append(one)
    one.run()


@word("back")
def back(lab, step):
    """back within TIME: names are answered again; the long form holds it to the time, others to
    three times as much."""
    _, patience = step.text.split()
    limit = seconds(patience) * (1 if lab.full and not harness.SANITIZED else 3)
    begun = time.monotonic()
    while True:
        lab.asked += 1
        left = begun + limit - time.monotonic()
        if left < 0:
            raise AssertionError(f"not within {limit} s")
        try:
            if lab.daemon.ask(f"back{lab.asked}.load.lab", timeout=left).rcode() == 0:
                break
        except dns.exception.Timeout:
            pass
        time.sleep(0.01)
    lab.notes.append(f"back after {(time.monotonic() - begun) * 1000:.0f} ms")


@word("client", beside=True)
def client(lab, step):
    """client NAME udp|tcp ..., with its steps below (client.py)."""
    play(lab, step.text, step.block)


@word("ask", beside=True)
def ask(lab, step):
    """ask QUERY [-> EXPECTED]: one step of a client over UDP."""
    play(lab, "it udp", [f"ask {step.text}"])


def play(lab, head, steps):
    one = Client(head, steps)
    lab.clients.append(one)
    one.run(lab.daemon.address)


# ---- what happens ----

@word("turn")
def turn(lab, step):
    """turn UPSTREAM DEEDS"""
    name, deeds = step.text.split(maxsplit=1)
    lab.upstreams[name].do("deeds", deeds)


@word("connections")
def connections(lab, step):
    """connections UPSTREAM close|cut|reset|half-close: all that are open now."""
    name, how = step.text.split()
    lab.upstreams[name].do("connections", how.replace("-", "_"))


def process_of(lab, name):
    return lab.daemon.process if name == "daemon" else lab.upstreams[name].process


def signals(name, number):
    @word(name)
    def send(lab, step):
        for each in shlex.split(step.text):
            process_of(lab, each).send(number)


signals("freeze", signal.SIGSTOP)
signals("thaw", signal.SIGCONT)


@word("stop")
def stop(lab, step):
    for each in step.text.split():
        lab.upstreams[each].stop()


@word("start")
def start(lab, step):
    for each in step.text.split():
        lab.upstreams[each].start()
