"""Runs every fuzzer of a build for some seconds: python3 tests/fuzz/run.py BUILD [SECONDS]

New inputs stay in BUILD/corpus; a crash leaves its input there and fails the run.
"""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SEEDS = Path(__file__).resolve().parent / "corpus"


def fuzz(binary, corpus, seconds):
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = SEEDS / binary.name.removeprefix("fuzz_")
    command = [binary, f"-max_total_time={seconds}", "-timeout=5", "-rss_limit_mb=2048",
               f"-artifact_prefix={corpus.parent}/{binary.name}-", corpus]
    if seeds.is_dir():
        command.append(seeds)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def main():
    build = Path(sys.argv[1]).resolve()
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    binaries = sorted(p for p in (build / "tests").glob("fuzz_*") if p.is_file()
                      and os.access(p, os.X_OK))
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda b: fuzz(b, build / "corpus" / b.name, seconds), binaries)
        for binary, (code, text) in zip(binaries, results):
            failed += code != 0
            last = text.strip().splitlines()[-1:] or [""]
            print(f"{'failed' if code else 'passed':7} {binary.name}: {last[0]}", flush=True)
            if code:
                print(text[-6000:])
    print(f"{len(binaries) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not binaries else 0


if __name__ == "__main__":
    sys.exit(main())
