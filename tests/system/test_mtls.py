"""Client certificates (mutual TLS), with nginx, haproxy and stunnel that demand one."""
import json
import os
import re
import time

from harness import (NAME, PRIVYDNS, PRIVYDNSD, SANITIZED, SOURCE, USERNS, Daemon, Load, run,
                     wait_until)
from mtls import HAPROXY, NGINX, STUNNEL, MutualTls
from servers import Certificate, Haproxy, Nginx, Stunnel, openssl


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
                self.assertEqual(load.outcome(), {0: load.total})
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
        self.assertEqual(load.outcome(), {2: load.total})
        trials = self.trials(server)
        self.assertGreater(trials, 4)
        self.assertLessEqual(trials, 1 + 4 * seconds + 1)  # the first one is no trial


class Manual(MutualTls):
    def test_the_example_is_a_configuration(self):
        manual = (SOURCE / "daemon" / "privydns.yaml.5").read_text()
        example = re.search(r"^\.Bd -literal[^\n]*\n((?:(?!\.Ed).*\n)*?.*client_key: .*\n(?:(?!\.Ed)"
                            r".*\n)*)\.Ed", manual, re.M)[1]
        directory = self.path("etc")
        for name, source in (("corp-ca.crt", self.a.crt), ("client.crt", self.client.crt),
                             ("client.key", self.client.key)):
            (directory / name).touch(0o600)
            (directory / name).write_bytes(source.read_bytes())
        file = directory / "privydns.yaml"
        file.write_text("user: root\n" + example.replace("/etc/privydns", str(directory)))
        done = run(PRIVYDNSD, "-t", "-c", file)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


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
