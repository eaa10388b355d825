"""privydnsd under valgrind's memcheck; PRIVYDNS_BUILD names a build without sanitizers.

One story: questions over UDP and TCP to a DoT upstream whose connections break; reloads; the end.
No error, and no block of memory is lost, definitely or possibly.
"""
import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]
import harness  # noqa: E402
import sandbox  # noqa: E402
import upstreams  # noqa: E402
import victim  # noqa: E402
from servers import wait_until  # noqa: E402

QUESTIONS = 100  # over each of UDP and TCP, before each reload
TIMEOUT = 120
VALGRIND = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--num-callers=30",
            "--show-leak-kinds=definite,possible", "--errors-for-leak-kinds=definite,possible")


def sometimes_reset():
    """Answers, but for each seventh query the connection breaks."""
    asked = 0

    def answer(conn, query):
        nonlocal asked
        asked += 1
        if asked % 7:
            harness.honest(conn, query)
        else:
            conn.reset()
    return answer


def reload(daemon, *addresses):
    daemon.write(*addresses)
    before = daemon.text().count("configuration reloaded")
    daemon.child.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.text().count("configuration reloaded") > before, 20,
               what="a reload")


def tell(directory):
    """The story."""
    upstreams.make_certificates(directory)
    upstreams.PROTOCOLS["breaks"] = (upstreams.dot(answer=sometimes_reset(), deeds="honest"),
                                     upstreams.PROTOCOLS["dot"][1])
    upstream = upstreams.Upstream("breaks", directory, directory)
    upstream.server.start()
    daemon = victim.Daemon(directory, "", upstream.entry())
    daemon.before = VALGRIND
    try:
        daemon.begin()
        for addresses in (["127.0.0.9"], [], []):
            for i in range(2 * QUESTIONS):
                daemon.good_question(tcp=i % 2)
            reload(daemon, *addresses)
        daemon.stop()
    finally:
        daemon.kill()
        upstream.server.stop()


def inside(name, result_file):
    sandbox.network()
    begun, word = time.monotonic(), "passed"
    with tempfile.TemporaryDirectory(prefix="privydns-memcheck-") as directory:
        try:
            tell(Path(directory))
        except (victim.Broken, TimeoutError) as reason:
            word = "failed"
            print(f"-- {name}\n{reason}\n{Path(directory, 'said').read_text()[-8000:]}")
    print(f"{word:7} {name} ({time.monotonic() - begun:.1f} s)")
    Path(result_file).write_text(json.dumps({word: 1}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(*arguments.inside)
        return 0
    os.environ["PRIVYDNS_BUILD"] = str(harness.BUILD.resolve())  # harness took it away
    return sandbox.run_all(["memcheck"], [__file__, "--inside"], 1, TIMEOUT)


if __name__ == "__main__":
    sys.exit(main())
