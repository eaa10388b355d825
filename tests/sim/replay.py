"""A seed replays exactly: its world comes to the same after others as alone.

python3 replay.py SIM
"""
import subprocess
import sys

SEEDS = 40


def digests(*args):
    done = subprocess.run([sys.argv[1], "--digest", "--jobs", "1", *args], check=True,
                          stdout=subprocess.PIPE, text=True)
    return dict(line.split() for line in done.stdout.splitlines() if not line.startswith("sim:"))


def main():
    together = digests(str(SEEDS))
    assert len(together) == SEEDS, together
    for seed in range(1, SEEDS + 1, 3):
        alone = digests("--seed", str(seed))
        assert alone[str(seed)] == together[str(seed)], f"seed {seed} replays differently"


if __name__ == "__main__":
    main()
