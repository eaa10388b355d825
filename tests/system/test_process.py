"""The program as a process: start, stop, reload, exit codes, configuration faults, drop of rights."""
import os
import pwd
import re
import signal
import socket
import subprocess
import time

import dns.message
import dns.rcode

from harness import (NAME, PRIVYDNSD, USERNS, Daemon, Load, SystemTest, ede, honest, run, servers,
                     texts, trust, wait_until)


class ExitCodes(SystemTest):
    def code(self, *arguments, env=None):
        done = run(PRIVYDNSD, *arguments, env={**os.environ, **(env or {})}, timeout=10)
        return done.returncode, done.stdout + done.stderr

    def file(self, text):
        file = self.path("config") / "privydns.yaml"
        file.write_text(text)
        return file

    def test_bad_usage_is_64(self):
        for arguments in (["--nonsense"], ["-c"], ["stray"]):
            with self.subTest(arguments=arguments):
                code, text = self.code(*arguments)
                self.assertEqual(code, 64, text)
                self.assertNotEqual(text, "")

    def test_help_and_version_are_0(self):
        code, text = self.code("-h")
        self.assertEqual(code, 0)
        self.assertIn("--upstream", text)
        code, text = self.code("-V")
        self.assertEqual(code, 0)
        for word in ("privydnsd", "dot", "do53", "OpenSSL", "libevent"):
            self.assertIn(word.lower(), text.lower())

    def test_port_taken_is_71_and_says_by_whom(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 53))
            code, text = self.code("-c", self.file("user: root\nlisten: 127.0.0.1\n"))
        self.assertEqual(code, 71, text)
        self.assertIn("127.0.0.1:53", text)
        self.assertRegex(text, r"(?i)in use|taken")
        self.assertIn(str(os.getpid()), text)

    def test_second_daemon_is_71(self):
        self.daemon("127.0.0.2")
        code, text = self.code("-c", self.file("user: root\nlisten: 127.0.0.1\n"))
        self.assertEqual(code, 71, text)

    def test_unknown_user_is_77(self):
        code, text = self.code("-c", self.file("user: no-such-user\nlisten: 127.0.0.1\n"))
        self.assertEqual(code, 77, text)
        self.assertIn("no-such-user", text)

    def test_faults_of_the_configuration_are_78(self):
        for text in ("listen: 127.0.0.1:99999\n", "lisen: 127.0.0.1\n", "listen: [\n",
                     "pools: {default: {upstreams: ['tls://127.0.0.1'], strategy: best}}\n",
                     "pools: {default: {upstreams: ['udp://127.0.0.1']}}\n",
                     "query: {tries: 0}\n", "routes: [{zones: [a.example], pool: nowhere}]\n"):
            with self.subTest(text=text):
                for extra in ((), ("-t",)):
                    code, said = self.code("-c", self.file("user: root\n" + text), *extra)
                    self.assertEqual(code, 78, said)
                    self.assertRegex(said, r"privydns\.yaml:\d+:\d+: ")

    def test_missing_file_is_78(self):
        code, text = self.code("-c", "/nonexistent/privydns.yaml")
        self.assertEqual(code, 78)
        self.assertIn("/nonexistent/privydns.yaml", text)


class TestConfig(SystemTest):
    def said(self, text, *arguments, drop_in=None):
        directory = self.path("config")
        file = directory / "privydns.yaml"
        file.write_text(text)
        if drop_in:
            (directory / "privydns.yaml.d").mkdir()
            (directory / "privydns.yaml.d" / "10-more.yaml").write_text(drop_in)
        done = run(PRIVYDNSD, "-c", file, *arguments)
        return done.returncode, done.stdout + done.stderr

    def test_good_is_0(self):
        code, text = self.said("listen: 127.0.0.1:5300\n", "-t")
        self.assertEqual(code, 0, text)

    def test_all_faults_are_listed_with_their_place(self):
        code, text = self.said("lisen: 127.0.0.1\n"
                               "query:\n"
                               "  tries: many\n"
                               "  deadline: 90s\n"
                               "pools:\n"
                               "  default:\n"
                               "    upstreams:\n"
                               "      - tls://127.0.0.1:70000\n", "-t")
        self.assertEqual(code, 78)
        for place, word in (("1:1", "listen"), ("3:10", "tries|number"), ("4:13", "30s"),
                            (r"8:\d+", "port|70000")):
            self.assertRegex(text, r"privydns\.yaml:" + place + ": .*(" + word + ")")
        self.assertRegex(text, "(?i)did you mean.*listen")

    def test_files_are_checked(self):
        directory = self.path("keys")
        key = directory / "client.key"
        key.write_bytes(self.certificate.key.read_bytes())
        key.chmod(0o644)
        for entry, words in ((f"client_cert: {self.certificate.crt}, client_key: {key}",
                              "client.key.*(others|readable|mode|permission)"),
                             ("ca_file: /nonexistent/ca.pem", "/nonexistent/ca.pem"),
                             ('pins: ["sha256/short="]', "pin")):
            with self.subTest(entry=entry):
                code, text = self.said("pools: {default: {upstreams: [{url: 'tls://127.0.0.2#x',"
                                       f" {entry}}}]}}}}\n", "-t")
                self.assertEqual(code, 78, text)
                self.assertRegex(text, r"privydns\.yaml:1:\d+: .*(" + words + ")")

    def test_printed_configuration_loads_back_to_the_same(self):
        code, first = self.said("listen: 127.0.0.1:5301\nquery: {tries: 3}\n", "-p",
                                drop_in="query: {deadline: 3s}\nlisten: ['127.0.0.1:5302']\n")
        self.assertEqual(code, 0, first)
        self.assertIn("127.0.0.1:5302", first)
        self.assertNotIn("127.0.0.1:5301", first)
        code, second = self.said(first, "-p")
        self.assertEqual(code, 0, second)

        def values(text):
            return [re.sub(r"\s*#.*", "", line) for line in text.splitlines()
                    if not line.lstrip().startswith("#")]
        self.assertEqual(values(first), values(second))

    def test_environment_and_flags(self):
        directory = self.path("config")
        (directory / "privydns.yaml").write_text("listen: 127.0.0.1:5301\n")
        env = {**os.environ, "PRIVYDNS_LISTEN": "127.0.0.1:5303", "PRIVYDNS_LOG_LEVEL": "info",
               "PRIVYDNS_CONFIG": str(directory / "privydns.yaml")}
        text = run(PRIVYDNSD, "-p", env=env).stdout
        self.assertIn("127.0.0.1:5303", text)
        self.assertRegex(text, "level: *\"?info")
        text = run(PRIVYDNSD, "-p", "-l", "127.0.0.1:5304", env=env).stdout
        self.assertIn("127.0.0.1:5304", text)
        self.assertNotIn("127.0.0.1:5303", text)


class Stopping(SystemTest):
    def test_sigterm_and_sigint_are_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.daemon("127.0.0.2")
            begun = time.monotonic()
            self.assertEqual(daemon.stop(number), 0)
            self.assertLess(time.monotonic() - begun, 1.5)

    def test_what_is_in_flight_is_answered(self):
        peer = self.scripted(lambda conn, query: conn.later(0.4, lambda: honest(conn, query)))
        daemon = self.daemon(peer)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.sendto(dns.message.make_query("late.example", "A").to_wire(), ("127.0.0.1", 53))
            wait_until(lambda: peer.asked("late.example"))
            daemon.send(signal.SIGTERM)
            self.assertEqual(s.recv(4096)[3] & 15, 0)
        wait_until(lambda: not daemon.process.running(), what="the end")  # or stop() signals twice
        self.assertEqual(daemon.stop(), 0)

    def test_as_pid_1(self):
        config = self.config("127.0.0.2")
        daemon = Daemon(self.path("privydnsd"), config)
        daemon.process = servers.Process(
            "init", ["unshare", "--pid", "--fork", "--kill-child", str(PRIVYDNSD), "-c",
                     str(daemon.file)], daemon.dir, logname="privydnsd.log")
        self.addCleanup(daemon.process.stop)
        daemon.process.ready(daemon.answers_locally)
        with open(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children",
                  encoding="ascii") as children:
            inner = int(children.read().split()[0])
        os.kill(inner, signal.SIGTERM)
        self.assertEqual(daemon.process.child.wait(5), 0)


class Reload(SystemTest):
    def test_connections_survive(self):
        peer = self.scripted()
        daemon = self.daemon(peer)
        self.assert_answers(daemon, "before.example")
        config = self.config(peer)
        config["query"] = {"tries": 3}
        daemon.write(config)
        daemon.send(signal.SIGHUP)
        daemon.wait_log("(?i)reload")
        self.assert_answers(daemon, "after.example")
        self.assertEqual(peer.accepted, 1)

    def test_upstreams_are_swapped_under_load(self):
        first, second = self.unbound("127.0.0.2"), self.unbound("127.0.0.3")
        daemon = self.daemon(first, workers=2)
        load = Load(daemon, 300, 4)
        load.start()
        for number in range(6):
            wait_until(lambda due=150 * (number + 1): len(load.sent) >= due)
            daemon.write(self.config(second if number % 2 == 0 else first, workers=2))
            daemon.send(signal.SIGHUP)
        self.assertEqual(load.outcome(), {0: load.total})
        self.assertGreater(len(daemon.log_lines("configuration reloaded")), 1)
        self.assertGreater(int(second.statistics()["total.num.queries"]), 100)

    def test_a_bad_file_changes_nothing_and_says_why(self):
        peer = self.scripted()
        daemon = self.daemon(peer)
        self.assert_answers(daemon, "before.example")
        daemon.write("query: {tries: 0}\nnonsense: true\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_log(r"privydns\.yaml:1:\d+: ")
        daemon.wait_log(r"privydns\.yaml:2:\d+: ")
        self.assert_answers(daemon, "after.example")
        self.assertEqual(peer.accepted, 1)

    def test_a_question_outlives_its_pool_and_its_deadline_in_the_file(self):
        def late(conn, query):
            probe = query[12] == 0
            conn.later(0 if probe else 2.5, lambda: honest(conn, query))

        peer = self.scripted(late)
        config = self.config(peer)
        config["pools"]["other"] = {"upstreams": [self.upstream(peer)]}
        config["routes"] = [{"zones": ["other.example"], "pool": "other"}]
        daemon = self.begin(Daemon(self.path("privydnsd"), config))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(6)
            s.sendto(dns.message.make_query("www.other.example", "A").to_wire(), ("127.0.0.1", 53))
            wait_until(lambda: peer.asked("www.other.example"), 5)
            config["query"] = {"deadline": "200ms"}
            daemon.write(config)
            daemon.send(signal.SIGHUP)
            wait_until(lambda: len(daemon.log_lines("configuration reloaded")) == 1, 5)
            del config["pools"]["other"], config["routes"]
            daemon.write(config)
            daemon.send(signal.SIGHUP)
            self.assertEqual(texts(dns.message.from_wire(s.recv(4096)), "A"), ["192.0.2.10"])

    def test_does_not_hang_at_a_pipe(self):
        daemon = self.daemon(self.scripted())
        drop_ins = daemon.dir / "privydns.yaml.d"
        drop_ins.mkdir()
        os.mkfifo(drop_ins / "10-pipe.yaml")
        daemon.send(signal.SIGHUP)
        daemon.wait_log("10-pipe.yaml.*pipe")
        daemon.wait_log("reload failed")
        self.assertEqual(daemon.stop(), 0)

    def test_no_client_gets_the_log(self):
        peer = self.scripted()
        config = {**self.config(peer), "listen": ["127.0.0.1:53", "127.0.0.1:5353"]}
        daemon = Daemon(self.path("privydnsd"), config)
        child = subprocess.Popen(f"exec {PRIVYDNSD} -c {daemon.file} <&- >&- 2>&-", shell=True)
        self.addCleanup(child.kill)
        wait_until(daemon.answers_locally, 10)
        config["listen"] = ["127.0.0.1:53"]
        daemon.write(config)
        child.send_signal(signal.SIGHUP)  # descriptors become free
        wait_until(lambda: not servers.accepts("127.0.0.1", 5353), 10)
        clients = [daemon.connect() for _ in range(5)]
        wait_until(daemon.answers_locally, 10)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(5), 0)
        for client in clients:
            self.assertEqual(client.recv(1000), b"")
            client.close()

    def test_plaintext_ends_with_its_permission(self):
        config = self.config({"url": "tcp://127.0.0.2", "name": "clear"})
        config["pools"]["default"]["plaintext"] = True
        daemon = self.begin(Daemon(self.path("privydnsd"), config))
        config["pools"]["default"]["plaintext"] = False
        daemon.write(config)
        daemon.send(signal.SIGHUP)
        daemon.wait_log("not encrypted")
        self.assertEqual(daemon.log_lines("configuration reloaded"), [])

    def test_listen_changes(self):
        peer = self.scripted()
        daemon = self.daemon(peer)
        config = self.config(peer)
        config["log"]["level"] = "notice"
        config["pools"]["office"] = {"upstreams": [self.upstream(peer)]}
        config["routes"] = [{"zones": ["office.example"], "pool": "office"}]
        daemon.write(config)
        daemon.send(signal.SIGHUP)
        daemon.wait_log("(?i)reload")
        self.assertEqual(texts(daemon.ask("a.office.example")), ["192.0.2.10"])


class Rights(SystemTest):
    def test_root_becomes_the_user(self):
        if USERNS:
            self.skipTest("needs root: a user namespace knows one user only")
        peer = self.scripted()
        self.ca.dir.chmod(0o755)
        daemon = self.daemon(peer, user="nobody")
        self.assert_answers(daemon)
        with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":\t", 1) for line in status.read().splitlines()
                          if ":\t" in line)
        nobody = pwd.getpwnam("nobody")
        self.assertEqual(set(fields["Uid"].split()), {str(nobody.pw_uid)})
        self.assertEqual(set(fields["Gid"].split()), {str(nobody.pw_gid)})
        self.assertEqual(fields["CapEff"], "0" * 16)
        daemon.send(signal.SIGHUP)
        daemon.wait_log("(?i)reload")
        self.assert_answers(daemon, "still.example")


class Defaults(SystemTest):
    def test_without_a_file_the_operator_is_named(self):
        daemon = self.begin(Daemon(self.path("privydnsd"), None, "-l", "127.0.0.1", "-v",
                                   env={"PRIVYDNS_USER": "root"}))
        daemon.wait_log(r"(?i)quad9")

    def test_upstream_flag(self):
        upstream = self.unbound()
        config = {**self.config("127.0.0.99")}
        trust(self, self.ca)
        daemon = self.begin(Daemon(self.path("privydnsd"), config, "-u",
                                   f"tls://{upstream.address}#{NAME}"))
        self.assert_answers(daemon)

    def test_fault_without_edns_has_no_error_option(self):
        daemon = self.daemon("127.0.0.2", query={"deadline": "500ms"})
        reply = daemon.ask("none.example")
        self.assertEqual((reply.rcode(), reply.edns, ede(reply)), (dns.rcode.SERVFAIL, -1, []))
