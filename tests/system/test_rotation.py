"""A client certificate that changes while it is used, before nginx that demands it."""
import os
import pwd
import time

import dns.rcode

from harness import SANITIZED, USERNS, Daemon, Load, connections, run, wait_until
from mtls import NGINX, MutualTls
from servers import Certificate, Nginx


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
        wait_until(lambda: len(load.sent) >= self.RATE)
        change()
        daemon.wait_log("corp: client_cert: .* was read again$")
        self.assertEqual(load.outcome(), {0: load.total}, daemon.log()[-3000:])
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
