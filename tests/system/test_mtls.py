"""Client certificates (mutual TLS), with nginx, haproxy and stunnel that demand one."""
import json
import os
import pwd
import re
import time
import unittest

import dns.rcode

from harness import (NAME, PRIVYDNS, PRIVYDNSD, SANITIZED, USERNS, Daemon, Load, SystemTest,
                     connections, ede, run, wait_until)
from servers import CA, Backend, Certificate, Haproxy, Nginx, Stunnel, openssl, program

NGINX, HAPROXY, STUNNEL = "127.0.0.3", "127.0.0.4", "127.0.0.5"
MISSING = [name for name in ("nginx", "haproxy", "stunnel") if not program(name)]


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class MutualTls(SystemTest):
    """An authority A whose clients are welcome, another one B, and what stands behind servers."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.a, cls.b = CA(cls.dir / "a", "a"), CA(cls.dir / "b", "b")
        (cls.b.dir / "serial").write_text("2000\n")
        cls.client = cls.a.issue("client", ["client.example"])
        cls.stranger = cls.b.issue("stranger", ["client.example"])
        cls.expired = cls.a.expired("expired", ["client.example"])
        cls.backend = cls.begin_for_class(Backend(cls.path("backend"), "127.0.0.9"))

    @classmethod
    def server(cls, kind, address, begin=None, **options):
        clients = options.pop("clients", cls.a.crt)
        made = kind(cls.path(kind.__name__.lower()), address, cls.certificate, cls.backend,
                    clients, **options)
        return (begin or cls.begin_for_class)(made)

    @classmethod
    def entry(cls, server, scheme="tls", who=None, **more):
        """A configuration entry; who: a Certificate, ours."""
        make = cls.upstream if scheme == "tls" else cls.doh_upstream
        ours = {"client_cert": str(who.crt), "client_key": str(who.key)} if who else {}
        return {"name": "corp", **make(server), **ours, **more}

    def copy(self, certificate):
        """A pair of files that may change: links in the way of Kubernetes."""
        directory = self.path("identity")
        pair = Certificate(directory / "tls.crt", directory / "tls.key")
        self.switch(pair, certificate)
        pair.crt.symlink_to("..data/tls.crt")
        pair.key.symlink_to("..data/tls.key")
        return pair

    @staticmethod
    def switch(pair, certificate):
        """Both at once, by one link."""
        directory = pair.crt.parent
        version = directory / f"..{len(list(directory.iterdir()))}"
        version.mkdir()
        (version / "tls.crt").write_bytes(certificate.crt.read_bytes())
        (version / "tls.key").touch(0o600)
        (version / "tls.key").write_bytes(certificate.key.read_bytes())
        (directory / "..new").symlink_to(version.name)
        (directory / "..new").rename(directory / "..data")

    def files(self, certificate):
        """A pair of plain files."""
        directory = self.path("identity")
        pair = Certificate(directory / "tls.crt", directory / "tls.key")
        pair.key.touch(0o600)
        self.write(pair, certificate)
        return pair

    @staticmethod
    def write(pair, certificate, pause=0.0):
        """One after the other, in place."""
        pair.crt.write_bytes(certificate.crt.read_bytes())
        time.sleep(pause)
        pair.key.write_bytes(certificate.key.read_bytes())

    def assert_fails(self, daemon, code=23, name="www.example"):
        reply = daemon.ask(name, use_edns=0)
        self.assertEqual(dns.rcode.to_text(reply.rcode()), "SERVFAIL", reply)
        self.assertEqual([number for number, _ in ede(reply)], [code], reply)
        return reply


class Answers(MutualTls):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nginx = cls.server(Nginx, NGINX)
        cls.haproxy = cls.server(Haproxy, HAPROXY)
        cls.stunnel = cls.server(Stunnel, STUNNEL)

    def test_with_the_right_certificate(self):
        for server, scheme in ((self.nginx, "tls"), (self.nginx, "https"), (self.haproxy, "tls"),
                               (self.haproxy, "https"), (self.stunnel, "tls")):
            with self.subTest(server=type(server).__name__, scheme=scheme):
                daemon = self.daemon(self.entry(server, scheme, self.client), level="notice")
                self.assert_answers(daemon)
                self.assert_answers(daemon, "onlytxt.example", [], rdtype="TXT")
                self.assertEqual(daemon.log_lines("warning|error"), [])
                daemon.stop()

    def test_nginx_has_seen_it(self):
        daemon = self.daemon(self.entry(self.nginx, "https", self.client))
        self.assert_answers(daemon)
        daemon.stop()
        wait_until(lambda: self.nginx.seen("doh.log"))
        self.assertEqual(self.nginx.seen("doh.log")[-1][1:],
                         ["TLSv1.3", ".", self.client.serial(), "200"])

    def test_every_kind_of_key(self):
        kinds = {kind: self.a.issue(kind.replace(":", ""), ["client.example"], kind=kind)
                 for kind in ("ec", "rsa:2048", "ed25519")}
        directory = self.path("keys")
        forms = {"traditional EC": (kinds["ec"], ["ec"], None),
                 "traditional RSA": (kinds["rsa:2048"], ["rsa", "-traditional"], None),
                 "PKCS#8, encrypted": (kinds["ec"], ["pkcs8", "-topk8", "-v2", "aes-256-cbc",
                                                     "-passout", "pass:a secret"], "a secret\n"),
                 "traditional, encrypted": (kinds["rsa:2048"], [
                     "rsa", "-traditional", "-aes128", "-passout", "pass:x"], "x")}
        for name, (certificate, words, passphrase) in forms.items():
            key = directory / (re.sub(r"\W", "-", name) + ".key")
            openssl(*words, "-in", certificate.key, "-out", key)
            more = {}
            if passphrase:
                file = key.with_suffix(".pass")
                file.touch(0o600)
                file.write_text(passphrase)
                more["client_key_passphrase_file"] = str(file)
            kinds[name] = (Certificate(certificate.crt, key), more)
        for name, made in kinds.items():
            certificate, more = made if isinstance(made, tuple) else (made, {})
            with self.subTest(kind=name):
                daemon = self.daemon(self.entry(self.stunnel, "tls", certificate, **more))
                self.assert_answers(daemon)
                daemon.stop()

    def test_protocol_mtls_is_those_with_an_identity(self):
        plain = self.unbound()
        without, having = self.upstream(plain), self.entry(self.nginx, "tls", self.client)
        config = self.config(without, having)
        config["pools"]["default"]["protocol"] = "mtls"
        daemon = self.begin(Daemon(self.path("privydnsd"), config))
        self.assert_answers(daemon)
        self.assertEqual(plain.statistics()["total.num.queries"], "0")
        daemon.stop()
        config["pools"]["default"]["upstreams"] = [without]
        daemon = Daemon(self.path("privydnsd"), config)
        done = run(PRIVYDNSD, "-t", "-c", daemon.file)
        self.assertEqual(done.returncode, 78)
        self.assertIn("no upstream of pool 'default' speaks mtls", done.stderr)

    def privydns(self, *arguments):
        return run(PRIVYDNS, "--ca-file", self.ca.crt, *arguments)

    def test_privydns_shows_a_certificate(self):
        ours = ("--client-cert", self.client.crt, "--client-key", self.client.key)
        for url in (f"tls://{NGINX}#{NAME}", f"https://{NGINX}/dns-query#{NAME}"):
            with self.subTest(url=url):
                done = self.privydns("-u", url, "-P", "mtls", *ours, "--json", "www.example")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(json.loads(done.stdout)["client_auth"])
        done = self.privydns("-u", f"tls://{STUNNEL}#{NAME}", "--short", *ours, "www.example")
        self.assertEqual(done.stdout, "192.0.2.10\n")
        done = self.privydns("-u", f"tls://{STUNNEL}#{NAME}", "www.example")
        self.assertEqual(done.returncode, 3)
        self.assertIn("demands a client certificate, none is configured", done.stderr)
        done = self.privydns("-u", f"tls://{STUNNEL}#{NAME}", "-P", "mtls", "www.example")
        self.assertEqual(done.returncode, 2)
        self.assertIn("mtls", done.stderr)
        done = self.privydns("-u", f"tls://{STUNNEL}#{NAME}", "--client-cert", self.client.crt,
                             "www.example")
        self.assertEqual(done.returncode, 2)
        self.assertIn("client_key: missing", done.stderr)


class TlsVersions(MutualTls):
    """TLS 1.2 shows the certificate to everybody on the way: only where the user says so."""

    def test_a_server_of_1_2(self):
        server = self.server(Nginx, NGINX, self.begin, protocols="TLSv1.2")
        daemon = self.daemon(self.entry(server, "tls", self.client, tls_min="1.2"))
        self.assert_answers(daemon)
        daemon.stop()
        daemon = self.daemon(self.entry(server, "https", self.client, tls_min="1.2"))
        self.assert_answers(daemon)
        daemon.stop()
        daemon = self.daemon(self.entry(server, "tls", self.client), level="notice",
                             query={"deadline": "1s"})
        self.assert_fails(daemon)
        self.assertRegex("\n".join(daemon.log_lines("upstream corp")),
                         "unknown -> down: the server speaks no TLS 1.3, which is asked of it")

    def test_verdicts_of_1_2(self):
        server = self.server(Nginx, NGINX, self.begin, protocols="TLSv1.2")
        for who, why in ((None, "asks for a client certificate, none is configured"),
                         (self.stranger, "does the server accept our certificate")):
            daemon = self.daemon(self.entry(server, "tls", who, tls_min="1.2"), level="notice",
                                 query={"deadline": "1s"})
            self.assert_fails(daemon)
            self.assertEqual(len(daemon.log_lines(f"corp: unknown -> down: .*{why}")), 1,
                             daemon.log())
            daemon.stop()


class Refusals(MutualTls):
    """SERVFAIL with error 23, and one line with the true reason, whoever the server is."""

    NGINX_DOT = ("closed without an answer: the server asks for a client certificate, none is "
                 "configured",
                 "closed without an answer: does the server accept our certificate")
    NGINX_DOH = ("HTTP status 400: the server asks for a client certificate",
                 "HTTP status 400: does it accept our certificate")
    ALERTS = ("the server demands a client certificate, none is configured",
              "the server rejected our certificate: unknown CA; it accepts other issuers")

    def refused(self, server, scheme, reasons):
        cases = ((None, reasons[0]), (self.stranger, reasons[1]),
                 (self.expired, "our client certificate has expired"))
        for who, reason in cases:
            with self.subTest(who=who and who.crt.stem):
                daemon = self.daemon(self.entry(server, scheme, who), level="notice",
                                     query={"deadline": "1s"})
                for number in range(2):
                    self.assert_fails(daemon, name=f"n{number}.wild.example")
                self.assertEqual(len(daemon.log_lines(
                    "upstream corp: unknown -> down: " + re.escape(reason))), 1, daemon.log())
                self.assertEqual(len(daemon.log_lines("upstream corp: .*(up|down)")), 1)
                daemon.stop()

    def test_nginx(self):
        server = self.server(Nginx, NGINX, self.begin)
        self.refused(server, "tls", self.NGINX_DOT)
        self.refused(server, "https", self.NGINX_DOH)

    def test_haproxy(self):
        server = self.server(Haproxy, HAPROXY, self.begin)
        self.refused(server, "tls", self.ALERTS)
        self.refused(server, "https", self.ALERTS)

    def test_stunnel(self):
        self.refused(self.server(Stunnel, STUNNEL, self.begin), "tls", self.ALERTS)


def most_trials(seconds):
    """What the back-off permits: 250 ms, doubled up to 5 s, each a quarter less."""
    at, step, trials = 0, 0.25, 1
    while True:
        at += step * 0.75
        if at > seconds:
            return trials
        trials, step = trials + 1, min(5, step * 2)


class Rates(MutualTls):
    """How often a server that refuses us is tried, counted by itself."""

    SECONDS = 6

    def trials(self, server):
        """Each is a line: in dot.log a connection, in doh.log a request or more."""
        return len({line[0] for log in ("dot.log", "doh.log") for line in server.seen(log)})

    def test_the_law_is_that_of_20_a_minute(self):
        self.assertEqual(most_trials(60), 20)

    def test_beside_one_that_works(self):
        good = self.unbound()
        for scheme in ("tls", "https"):
            with self.subTest(scheme=scheme):
                server = self.server(Nginx, NGINX, self.begin)
                daemon = self.daemon(self.entry(server, scheme), self.upstream(good))
                load = Load(daemon, 30, self.SECONDS)
                load.start()
                load.join()
                self.assertEqual((load.lost, load.rcodes), (0, {0: load.total}))
                daemon.stop()
                server.stop()
                trials = self.trials(server)
                self.assertGreater(trials, 2)
                self.assertLessEqual(trials, most_trials(self.SECONDS + 1))

    def test_alone(self):
        server = self.server(Nginx, NGINX, self.begin)
        begun = time.monotonic()
        daemon = self.daemon(self.entry(server, "tls", self.stranger), query={"deadline": "1s"})
        load = Load(daemon, 30, 3)
        load.start()
        load.join()
        daemon.stop()
        seconds = time.monotonic() - begun
        self.assertEqual((load.lost, load.rcodes), (0, {2: load.total}))
        trials = self.trials(server)
        self.assertGreater(trials, 4)
        self.assertLessEqual(trials, 1 + 4 * seconds + 1)  # the first one is no trial


class Rotation(MutualTls):
    """The files change while it runs. self.client is replaced by self.stranger, unless said."""

    RATE, SECONDS = (100 if SANITIZED else 300), 4

    def setUp(self):
        self.nginx = self.server(Nginx, NGINX, self.begin)

    def serials(self, log="dot.log"):
        """In the order in which the server saw them, each once."""
        return list(dict.fromkeys(line[3] for line in self.nginx.seen(log)))

    def under_load(self, daemon, change):
        """Nothing is lost while change() runs, and nothing is complained about."""
        load = Load(daemon, self.RATE, self.SECONDS)
        load.start()
        time.sleep(1)
        change()
        daemon.wait_log("corp: client_cert: .* was read again$")
        load.join()
        self.assertEqual((load.lost, load.rcodes), (0, {0: load.total}), daemon.log()[-3000:])
        self.assertEqual(daemon.log_lines("error:|warning:"), [])

    def test_files(self):
        pair = self.files(self.client)
        daemon = self.daemon(self.entry(self.nginx, "tls", pair), level="notice")

        def change():
            self.nginx.demand(self.b.crt)
            self.write(pair, self.stranger, pause=0.3)
        self.under_load(daemon, change)
        wait_until(lambda: self.serials() == [self.client.serial()])  # it has let go of the old one
        daemon.stop()
        wait_until(lambda: self.serials() == [self.client.serial(), self.stranger.serial()])

    def test_a_link(self):
        pair = self.copy(self.client)
        daemon = self.daemon(self.entry(self.nginx, "tls", pair), level="notice", workers=2)

        def change():
            self.nginx.demand(self.b.crt)
            self.switch(pair, self.stranger)
        self.under_load(daemon, change)
        daemon.stop()
        wait_until(lambda: self.serials() == [self.client.serial(), self.stranger.serial()])

    def test_doh(self):
        """nginx sends its HTTP/2 clients away when it reloads: so it accepts both for a while."""
        pair = self.copy(self.client)
        daemon = self.daemon(self.entry(self.nginx, "https", pair), level="notice")
        both = self.path("both") / "both.crt"
        both.write_text(self.a.crt.read_text() + self.b.crt.read_text())

        def change():
            self.nginx.demand(both)
            self.switch(pair, self.stranger)
            wait_until(lambda: self.stranger.serial() in self.serials("doh.log"))
            self.nginx.demand(self.b.crt)
        self.under_load(daemon, change)
        daemon.stop()
        requests = [line[3:] for line in self.nginx.seen("doh.log")]
        self.assertEqual({status for _, status in requests}, {"200"})
        self.assertEqual(requests[-1][0], self.stranger.serial())

    def ports(self, server=None):
        """Of our connections to nginx."""
        return {line.split()[2] for line in connections(server or self.nginx)}

    def ask_all(self, daemon):
        """Each from a port of its own: any worker may get it."""
        for _ in range(20):
            self.asked = getattr(self, "asked", 0) + 1
            self.assert_answers(daemon, f"n{self.asked}.wild.example", ["192.0.2.99"])

    def test_every_worker(self):
        pair = self.files(self.client)
        daemon = self.daemon(self.entry(self.nginx, "tls", pair), workers=3)

        def each_has_one():
            self.ask_all(daemon)
            return len(self.ports()) == 3
        wait_until(each_has_one)
        before = self.ports()
        self.nginx.demand(self.b.crt)
        self.write(pair, self.stranger)
        wait_until(lambda: not before & self.ports())
        self.assertEqual(len(daemon.log_lines("was read again")), 1)
        self.ask_all(daemon)
        self.assertEqual(daemon.log_lines("down"), [])
        daemon.stop()
        wait_until(lambda: len(self.nginx.seen("dot.log")) >= 6)
        self.assertEqual(self.serials(), [self.client.serial(), self.stranger.serial()])

    def test_a_key_of_another(self):
        """The old identity stays in use, on new connections too."""
        pair = self.files(self.client)
        daemon = self.daemon(self.entry(self.nginx, "tls", pair), level="notice")
        self.assert_answers(daemon, "a.wild.example", ["192.0.2.99"])
        pair.key.write_bytes(self.stranger.key.read_bytes())
        daemon.wait_log("error: upstream corp: client_key: .*tls.key is not the key of .*tls.crt; "
                        "the identity before it stays in use")
        daemon.send(1)
        daemon.wait_log("configuration reloaded")
        self.nginx.stop()
        self.nginx.start()
        self.assert_answers(daemon, "b.wild.example", ["192.0.2.99"])
        self.assertEqual(len(daemon.log_lines("stays in use")), 1)
        self.write(pair, self.stranger)
        daemon.wait_log("was read again$")
        self.nginx.demand(self.b.crt)
        self.assert_answers(daemon, "c.wild.example", ["192.0.2.99"])

    def test_sighup(self):
        """At once, whatever the watch has seen."""
        pair = self.copy(self.client)
        daemon = self.daemon(self.entry(self.nginx, "tls", pair))
        self.assert_answers(daemon, "a.wild.example", ["192.0.2.99"])
        self.nginx.demand(self.b.crt)
        self.switch(pair, self.stranger)
        daemon.send(1)
        daemon.wait_log("configuration reloaded")
        self.assert_answers(daemon, "b.wild.example", ["192.0.2.99"])
        self.assertEqual(len(daemon.log_lines("was read again")), 1)

    def test_others_keep_their_connections(self):
        pair, other = self.copy(self.client), self.unbound()
        daemon = self.daemon(self.entry(self.nginx, "tls", pair), self.upstream(other),
                             strategy="spread")
        wait_until(lambda: self.ask_all(daemon) or self.ports() and self.ports(other))
        ours, theirs = self.ports(), self.ports(other)
        daemon.send(1)  # nothing has changed
        daemon.wait_log("configuration reloaded")
        self.ask_all(daemon)
        self.assertEqual((self.ports(), self.ports(other)), (ours, theirs))
        self.switch(pair, self.a.issue("renewed", ["client.example"]))
        daemon.wait_log("was read again$")
        self.ask_all(daemon)
        wait_until(lambda: not ours & self.ports())
        self.assertEqual(self.ports(other), theirs)

    def test_an_expired_one_is_replaced(self):
        pair = self.files(self.expired)
        daemon = self.daemon(self.entry(self.nginx, "tls", pair), query={"deadline": "1s"})
        self.assert_fails(daemon, name="a.wild.example")
        begun = time.monotonic()
        self.write(pair, self.client)
        count = 0
        while daemon.ask(f"b{count}.wild.example").rcode() != dns.rcode.NOERROR:
            count += 1
            self.assertLess(time.monotonic() - begun, 10)
        # Half a second to be sure that it is whole, a quarter to the next trial.
        self.assertLess(time.monotonic() - begun, 1.5 * (4 if SANITIZED else 1))

    def test_a_directory_that_vanishes(self):
        pair = self.files(self.client)
        directory, aside = pair.crt.parent, self.path("aside") / "identity"
        daemon = self.daemon(self.entry(self.nginx, "tls", pair), level="notice")
        self.assert_answers(daemon, "a.wild.example", ["192.0.2.99"])
        directory.rename(aside)
        daemon.wait_log("error: upstream corp: client_cert: .*tls.crt: No such file or directory; "
                        "the identity before it stays in use")
        self.write(Certificate(aside / "tls.crt", aside / "tls.key"), self.stranger)
        self.nginx.demand(self.b.crt)
        aside.rename(directory)
        daemon.wait_log("was read again$")
        self.assert_answers(daemon, "b.wild.example", ["192.0.2.99"])
        self.assertEqual(len(daemon.log_lines("error:")), 1)

    def test_without_inotify(self):
        """No more instances are to be had: it starts, and reads again when it is told to."""
        pair = self.files(self.client)
        config = {**self.config(self.entry(self.nginx, "tls", pair)), "listen": "127.0.0.1:5300"}
        daemon = Daemon(self.path("privydnsd"), config, port=5300)
        limit = "/proc/sys/user/max_inotify_instances"
        words = ["unshare", "--user", "--map-root-user", "--"]
        if run(*words, "sh", "-c", f"echo 0 >{limit}").returncode:
            self.skipTest("needs user namespaces")
        daemon.before = [*words, "sh", "-c", f'echo 0 >{limit}; exec "$@"', "sh"]
        self.begin(daemon)
        self.assert_answers(daemon, "a.wild.example", ["192.0.2.99"])
        self.nginx.demand(self.b.crt)
        self.write(pair, self.stranger)
        daemon.send(1)
        daemon.wait_log("was read again$")
        self.assert_answers(daemon, "b.wild.example", ["192.0.2.99"])


class Rights(MutualTls):
    """After root has been given up."""

    def setUp(self):
        if USERNS:
            self.skipTest("needs root: a user namespace knows one user only")
        self.nginx = self.server(Nginx, NGINX, self.begin)
        self.pair = self.files(self.client)
        self.nobody = pwd.getpwnam("nobody")

    def start(self):
        return self.daemon(self.entry(self.nginx, "tls", self.pair), user="nobody")

    def test_a_key_of_the_group(self):
        directory = self.pair.crt.parent
        for path in (directory, self.pair.key):
            os.chown(path, 0, self.nobody.pw_gid)
        directory.chmod(0o750)
        self.pair.key.chmod(0o640)
        daemon = self.start()
        self.assert_answers(daemon, "a.wild.example", ["192.0.2.99"])
        self.nginx.demand(self.b.crt)
        self.write(self.pair, self.stranger)
        daemon.wait_log("was read again$")
        self.assert_answers(daemon, "b.wild.example", ["192.0.2.99"])

    def test_a_key_of_root_alone(self):
        daemon = self.start()
        daemon.wait_log("warning: .*client_key: .*'nobody' cannot read")
        self.assert_answers(daemon, "a.wild.example", ["192.0.2.99"])
        self.write(self.pair, self.stranger)
        daemon.wait_log("error: upstream corp: client_key: .*tls.key: Permission denied; the "
                        "identity before it stays in use")
        self.assert_answers(daemon, "b.wild.example", ["192.0.2.99"])
        self.assertEqual(len(daemon.log_lines("error:")), 1)


class Files(MutualTls):
    """What cannot be used is told with its place, at once; nothing is asked on a terminal."""

    def said(self, **keys):
        entry = self.entry("127.0.0.2", "tls", **keys)
        text = "user: root\npools:\n  default:\n    upstreams:\n"
        text += "".join(f"{'      - ' if not i else '        '}{key}: {json.dumps(value)}\n"
                        for i, (key, value) in enumerate(entry.items()))
        file = self.path("config") / "privydns.yaml"
        file.write_text(text)
        begun = time.monotonic()
        tested = run(PRIVYDNSD, "-t", "-c", file)
        started = run(PRIVYDNSD, "-c", file, start_new_session=True)
        self.assertLess(time.monotonic() - begun, 2 * (5 if SANITIZED else 1))
        self.assertEqual((tested.returncode, started.returncode), (78, 78), tested.stderr)
        lines = [line.strip().split(":")[0] for line in text.splitlines()]
        return tested.stderr, lines, started.stderr

    def refused(self, option, why, **keys):
        tested, lines, started = self.said(**keys)
        number = 1 + lines.index(option)
        self.assertRegex(tested, rf"privydns\.yaml:{number}:\d+: {option}: {why}")
        self.assertRegex(started, rf"privydns\.yaml:{number}:\d+: {option}: {why}")
        self.assertEqual(len(tested.splitlines()), 1, tested)

    def pair(self, key=None, mode=0o600, owner=0):
        pair = self.files(self.client)
        if key:
            pair.key.write_bytes(key)
        pair.key.chmod(mode)
        os.chown(pair.key, owner, -1)
        return pair

    def test_S8_a_key_that_others_can_read(self):
        for mode in (0o644, 0o660, 0o700):
            self.refused("client_key", f"'.*tls.key' has mode {mode:04o}: others could read or "
                         "change it; allowed: 0640 or less", who=self.pair(mode=mode))

    def test_S8_through_a_link(self):
        pair = self.copy(self.client)
        pair.key.resolve().chmod(0o604)
        self.refused("client_key", "'.*tls.key' has mode 0604", who=pair)

    def test_S8_a_key_of_somebody_else(self):
        if USERNS:
            self.skipTest("needs root: a user namespace knows one user only")
        self.refused("client_key", "'.*tls.key' belongs to uid 65534; allowed: root or root",
                     who=self.pair(owner=65534))

    def test_S8_a_key_that_is_missing(self):
        self.refused("client_key", "'.*none.key' cannot be read: No such file or directory",
                     who=Certificate(self.client.crt, self.dir / "none.key"))
        self.refused("client_cert", ".*none.crt: No such file or directory",
                     who=Certificate(self.dir / "none.crt", self.client.key))

    def encrypted(self):
        return self.pair(openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", self.client.key,
                                 "-passout", "pass:right"))

    def passphrase(self, text, mode=0o600):
        file = self.path("passphrase") / "passphrase"
        file.write_text(text)
        file.chmod(mode)
        return str(file)

    def test_S8_an_encrypted_key(self):
        pair = self.encrypted()
        self.refused("client_key", ".*tls.key is encrypted: give client_key_passphrase_file",
                     who=pair)
        option = "client_key_passphrase_file"
        self.refused(option, "its first line does not unlock .*tls.key", who=pair,
                     **{option: self.passphrase("wrong\n")})
        self.refused(option, "its first line does not unlock .*tls.key", who=pair,
                     **{option: self.passphrase("\n")})
        self.refused(option, "'.*' has mode 0644", who=pair,
                     **{option: self.passphrase("right\n", 0o644)})

    def test_S8_what_is_no_pair(self):
        self.refused("client_key", ".*stranger.key is not the key of .*client.crt",
                     who=Certificate(self.client.crt, self.stranger.key))
        self.refused("client_key", ".*tls.key: holds no private key", who=self.pair(b"nothing\n"))
        pair = self.pair()
        pair.crt.write_text("nothing\n")
        self.refused("client_cert", ".*tls.crt: holds no certificate", who=pair)
