"""All encrypted protocols side by side, in one running daemon."""
import re
import signal

import mtls
from dnscrypt import Dnscrypt, Provider
from harness import Daemon, wait_until
from servers import Haproxy, Unbound

PROTOCOLS = ("dot", "doh", "mtls", "dnscrypt")


class SideBySide(mtls.MutualTls):
    """Four upstreams in one pool; the configuration says which protocol to use."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        demanding = cls.server(Haproxy, mtls.HAPROXY)
        open_to_all = cls.begin_for_class(Unbound(cls.path("unbound"), "127.0.0.2", 853,
                                                  cls.certificate))
        provider = Provider()
        sealed = cls.begin_for_class(Dnscrypt(cls.path("dnscrypt"), "127.0.0.6", 8443, provider,
                                              [provider.certificate()], cls.backend))
        cls.upstreams = [
            {**cls.entry(open_to_all), "name": "over-dot"},
            {**cls.entry(open_to_all, "https"), "name": "over-doh"},
            {**cls.entry(demanding, "tls", cls.client), "name": "over-mtls"},
            provider.entry(sealed, name="over-dnscrypt")]

    def test_each_answers_when_asked_for(self):
        config = self.config(*self.upstreams)
        daemon = self.begin(Daemon(self.path("privydnsd"), config))
        answered = set()
        for times, protocol in enumerate(reversed(PROTOCOLS), 1):
            config["pools"]["default"]["protocol"] = protocol
            daemon.write(config)
            daemon.send(signal.SIGHUP)
            wait_until(lambda: len(daemon.log_lines("reloaded")) == times, what="it is reloaded")
            self.assert_answers(daemon, f"{protocol}.wild.example", ["192.0.2.99"])
            answered.add(f"over-{protocol}")
            wait_until(lambda: self.up(daemon) >= answered, what="it is told who answered")
            self.assertEqual(self.up(daemon), answered)

    @staticmethod
    def up(daemon):
        return {re.search(r"upstream (\S+):", line).group(1)
                for line in daemon.log_lines("upstream .*-> up")}
