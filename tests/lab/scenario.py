"""Reads a scenario file: each line becomes a Step; errors name file and line.

@word("freeze") adds a word: a function that gets the lab and its step. A step without a time is
done in its place; one with a time then, and with beside=True in a thread of its own, so that the
next lines need not wait for it.
"""
import re
from pathlib import Path

TIME = r"[\d.]+(?:us|ms|s|m)"
UNITS = {"us": 1e-6, "ms": 0.001, "s": 1, "m": 60}
LONG = re.compile(r"\s+\(long\)\s*$")  # a line of the long form only
EITHER = re.compile(r"(?<= )[a-z]\w*(?:\|[a-z]\w*)+")  # protocols: played once with each
TITLE = re.compile(r"# ?([A-Z]+\d+[a-z]?|-) +(\S.*)")
WORDS = {}


def word(name, beside=False):
    def add(function):
        WORDS[name] = (function, beside)
        return function
    return add


class ScenarioError(Exception):
    """What is wrong with a file, and in which line."""


class Skipped(Exception):
    """Why it cannot be played here."""


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


def parts(text):
    """Splits at commas, outside of quotes and brackets."""
    return [part.strip() for part in re.findall(r'(?:"[^"]*"|\[[^\]]*\]|[^,"\[])+', text)]


def text_of(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def choices(path):
    """The protocols that a file is to be played with; none: it leaves no choice."""
    for line in text_of(path).splitlines():
        found = line.startswith("upstream") and EITHER.search(line)
        if found:
            return found[0].split("|")
    return []


class Scenario:
    """The title line's id and text, and the steps."""

    def __init__(self, path, full=False, protocol=None):
        self.path = Path(path)
        lines = text_of(path).splitlines()
        title = TITLE.fullmatch(lines[0]) if lines else None
        if not title:
            raise ScenarioError(f"{path}:1: the first line is '# ID  what happens', or '# -  ...'")
        self.id, self.title = title[1], title[2]
        self.steps = []
        for number, line in enumerate(lines[1:], 2):
            if line.strip() and not line.startswith("#") and (full or not LONG.search(line)):
                if protocol and line.startswith("upstream"):
                    line = EITHER.sub(protocol, line)
                self.add(f"{self.path.name}:{number}", chosen(LONG.sub("", line).rstrip(), full))

    def protocols(self):
        """Of its upstreams; a relay is none."""
        named = {part.split()[1] for step in self.steps if step.word == "upstream"
                 for part in parts(step.text) if len(part.split()) > 1}
        return named - {"relay"}

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
