"""Logging to a real rsyslogd on /dev/log, and with nobody reading /dev/log."""
import itertools
import re
import socket

from harness import Load, Process, SystemTest, private_dev, servers, wait_until

DEADLINE = 4.5  # s, for any answer
RSYSLOG = """
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="/dev/log" CreatePath="on" RateLimit.Interval="0")
template(name="flat" type="string" string="%syslogfacility-text%.%syslogseverity-text% %programname%[%procid%]: %msg%\\n")
*.* action(type="omfile" file="{out}" template="flat")
"""


class RealSyslog(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        private_dev(cls.dir)

    def setUp(self):
        directory = self.path("rsyslog")
        self.out = directory / "messages"
        (directory / "rsyslog.conf").write_text(RSYSLOG.format(out=self.out))
        program = servers.own_copy("rsyslogd", directory)
        self.rsyslogd = Process("rsyslogd", [program, "-n", "-f", "rsyslog.conf", "-i",
                                             str(directory / "pid")], directory)
        self.addCleanup(self.rsyslogd.stop)
        self.rsyslogd.ready(lambda: servers.Path("/dev/log").is_socket())

    def lines(self, pattern):
        text = self.out.read_text(errors="replace") if self.out.exists() else ""
        return [line for line in text.splitlines() if re.search(pattern, line)]

    def wait_line(self, pattern):
        wait_until(lambda: self.lines(pattern), 10, what=f"syslog line {pattern!r}")

    def ask_until(self, daemon, label, pattern):
        """Asks until there is such a line."""
        numbers = itertools.count()

        def told():
            daemon.ask(f"{label}x{next(numbers)}.wild.example")
            return self.lines(pattern)
        wait_until(told, 10, 0.1, f"syslog line {pattern!r}")

    def test_start_up_down_with_reason_stop(self):
        first = self.unbound("127.0.0.2")
        daemon = self.daemon({**self.upstream(first), "name": "first"}, self.unbound("127.0.0.3"),
                             log={"target": "syslog", "level": "notice"})
        self.wait_line(r"^daemon\.notice privydnsd\[" + str(daemon.process.pid))
        self.assert_answers(daemon, "private1.wild.example", ["192.0.2.99"])
        first.stop()
        self.assert_answers(daemon, "private2.wild.example", ["192.0.2.99"])
        self.wait_line("first.*down")
        self.assertRegex(self.lines("first.*down")[0], "(?i)closed|refused|reset|lost")
        first.start()
        self.ask_until(daemon, "private3", "first.* up")
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(self.lines("private"), [], "a name that was looked up is in the log")

    def test_debug_has_retries_and_cache_hits_but_no_names(self):
        first, second = self.unbound("127.0.0.2"), self.unbound("127.0.0.3")
        daemon = self.daemon(first, second, log={"target": "syslog", "level": "debug"})
        self.wait_line("127.0.0.2: connection opening -> ready")
        first.stop()
        for _ in range(2):
            self.assert_answers(daemon, "private.wild.example", ["192.0.2.99"])
        self.wait_line(r"\.debug .*(?i:cache).*hit|\.debug .*(?i:hit)")
        self.wait_line(r"(?i)retry|again|next upstream")
        self.assertEqual(self.lines("private"), [])

    def test_names_when_asked_for(self):
        daemon = self.daemon(self.unbound(),
                             log={"target": "syslog", "level": "debug", "queries": True})
        daemon.ask("public.wild.example")
        self.wait_line("public.wild.example")

    def test_auto_finds_syslog(self):
        daemon = self.daemon(self.unbound(), log={"target": "auto", "level": "notice"})
        self.wait_line(r"privydnsd\[" + str(daemon.process.pid))

    def test_facility(self):
        self.daemon(self.unbound(), log={"target": "syslog", "facility": "local3"})
        self.wait_line(r"^local3\.")

    def test_rsyslogd_restarts(self):
        daemon = self.daemon(self.unbound(), log={"target": "syslog", "level": "debug"})
        self.wait_line("privydnsd")
        self.rsyslogd.stop()
        self.assert_answers(daemon, "between.wild.example", ["192.0.2.99"])
        servers.Path("/dev/log").unlink(missing_ok=True)
        self.out.unlink()
        self.setUp()
        self.ask_until(daemon, "after", "privydnsd")


class NobodyReads(SystemTest):
    def test_thousand_a_second_go_on(self):
        private_dev(self.dir)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
            full.bind("/dev/log")
            daemon = self.daemon(self.unbound(), log={"target": "syslog", "level": "debug"})
            load = Load(daemon, 1000, 4)
            load.start()
            self.assertEqual(load.outcome(), {0: 4000})
            self.assertLess(max(load.latency), DEADLINE)
            begun = servers.time.monotonic()
            self.assertEqual(daemon.stop(), 0)
            self.assertLess(servers.time.monotonic() - begun, 2)
