"""Reads a scenario file: each line becomes a Step; errors name file and line."""
import re
from pathlib import Path

TIME = r"[\d.]+(?:us|ms|s|m)"
UNITS = {"us": 1e-6, "ms": 0.001, "s": 1, "m": 60}
LONG = re.compile(r"\s+\(long\)\s*$")  # a line of the long form only
EITHER = re.compile(r"\b(?:dot|doh)(?:\|(?:dot|doh))+")  # played once with each
OVER = re.compile(r"\s+\((dot|doh)\)\s*$")  # a line of this one only
TITLE = re.compile(r"# ?([A-Z]+\d+[a-z]?|-) +(\S.*)")


class ScenarioError(Exception):
    """What is wrong with a file, and in which line."""


def seconds(text):
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if not found:
        raise ValueError(f"not a time: {text}")
    return float(found[1]) * UNITS[found[2]]


class Step:
    """`3s  freeze a`: when (None: after what stands above), the word, the rest, the lines below."""

    def __init__(self, where, at, word, text):
        self.where, self.at, self.word, self.text = where, at, word, text
        self.block = []

    def error(self, problem):
        return ScenarioError(f"{self.where}: {problem}")


def chosen(line, full):
    """`1000/s (short 200/s)` is the first in the long form, the second in the short one."""
    return re.sub(r"(\S+) \(short ([^)]*)\)", lambda m: m[1] if full else m[2], line)


def protocols(path):
    """Those that a file is to be played with; none: it leaves no choice."""
    found = EITHER.search(Path(path).read_text(encoding="utf-8"))
    return found[0].split("|") if found else []


class Scenario:
    """The title line's id and text, and the steps."""

    def __init__(self, path, full=False, protocol=None):
        self.path = Path(path)
        lines = self.path.read_text(encoding="utf-8").splitlines()
        title = TITLE.fullmatch(lines[0]) if lines else None
        if not title:
            raise ScenarioError(f"{path}:1: the first line is '# ID  what happens', or '# -  ...'")
        self.id, self.title = title[1], title[2]
        self.steps = []
        for number, line in enumerate(lines[1:], 2):
            if line.strip() and not line.startswith("#") and (full or not LONG.search(line)):
                self.add_line(f"{self.path.name}:{number}",
                              chosen(LONG.sub("", line).rstrip(), full), protocol)

    def add_line(self, where, line, protocol):
        over = OVER.search(line)
        if over and over[1] != protocol:
            return
        self.add(where, EITHER.sub(lambda found: protocol or found[0], OVER.sub("", line)))

    def add(self, where, line):
        if line[0].isspace():
            if not self.steps:
                raise ScenarioError(f"{where}: an indented line belongs to the line above it")
            self.steps[-1].block.append(line.strip())
            return
        words = re.fullmatch(rf"(?:({TIME})\s+)?(\S+)(?:\s+(.*))?", line)
        if re.fullmatch(TIME, words[2]):
            raise ScenarioError(f"{where}: a time, and then nothing")
        at = seconds(words[1]) if words[1] else None
        self.steps.append(Step(where, at, words[2], words[3] or ""))
