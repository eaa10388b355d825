"""Checks tests/FAULTS: every fault of the catalogue is there once, with tests that exist, or with
why there is none yet; and every scenario, and every test named after a fault, stands at its fault.

Prints what is wrong as FILE:LINE: problem, else one line.
"""
import fnmatch
import re
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
FAULTS = TESTS / "FAULTS"
LAST = {"C": 21, "M": 18, "T": 21, "S": 15, "H": 16, "D": 10, "R": 12, "O": 20, "N": 5}
ID = r"[CMTSHDRON]\d+a?"
PRIORITIES = ("P0", "P1", "P2", "-")
FUNCTIONS = {".py": re.compile(r"^ *(?:def|class) (\w+)", re.M),
             ".c": re.compile(r"^(?:static )?void (\w+)\(void \*\*state\)", re.M)}
OWN = re.compile(rf"(?:test_)?({ID})_")  # the name of a test that says whose it is


class Fault:
    """A line: the tests as (file pattern, name pattern or None)."""

    def __init__(self, number, line):
        self.number = number
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 4 or not all(fields):
            raise ValueError("not 'ID | priority | what happens | tests'")
        self.id, self.priority, self.what, self.where = fields
        if not re.fullmatch(ID, self.id) or int(self.id[1:].rstrip("a")) > LAST[self.id[0]]:
            raise ValueError(f"{self.id} is no id")
        if self.priority not in PRIORITIES:
            raise ValueError(f"{self.id}: {self.priority} is none of {', '.join(PRIORITIES)}")
        self.tests = []
        if self.where.startswith("later:"):
            if not self.where[6:].strip():
                raise ValueError(f"{self.id}: later, but why?")
        else:
            self.tests = [(*test.split(":"), None)[:2] for test in self.where.split(", ")]

    def names(self, path, name=None):
        """Does this line name the file, or the function in it?"""
        file = path.relative_to(TESTS).as_posix()
        return any(fnmatch.fnmatchcase(file, self.file_pattern(pattern)) and
                   (wanted is None or name and fnmatch.fnmatchcase(name, wanted))
                   for pattern, wanted in self.tests)

    @staticmethod
    def file_pattern(pattern):
        return pattern + ".lab" if pattern.endswith("*") else pattern

    def missing(self):
        """The tests that are not there."""
        for pattern, wanted in self.tests:
            files = sorted(TESTS.glob(self.file_pattern(pattern)))
            if not files:
                yield f"{self.id}: there is no {pattern}"
            elif wanted and not any(fnmatch.fnmatchcase(name, wanted)
                                    for file in files for name in functions(file)):
                yield f"{self.id}: {pattern} has no {wanted}"


def functions(file):
    return FUNCTIONS[file.suffix].findall(file.read_text(encoding="utf-8"))


def read():
    """The faults by id, and the problems."""
    faults, problems = {}, []
    for number, line in enumerate(FAULTS.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            fault = Fault(number, line)
        except ValueError as error:
            problems.append((FAULTS, number, str(error)))
            continue
        if fault.id in faults:
            problems.append((FAULTS, number,
                             f"{fault.id} is in line {faults[fault.id].number} already"))
        faults.setdefault(fault.id, fault)
        problems += [(FAULTS, number, problem) for problem in fault.missing()]
    have = {id.rstrip("a") for id in faults}
    for letter, last in LAST.items():
        missing = [f"{letter}{n}" for n in range(1, last + 1) if f"{letter}{n}" not in have]
        problems += [(FAULTS, 1, f"{id} is missing") for id in missing]
    return faults, problems


def unnamed(faults):
    """Scenarios, and tests named after a fault, that FAULTS does not tell of."""
    for path in sorted(TESTS.glob("lab/scenarios/*.lab")):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        title = re.match(rf"# ?({ID})  ?\S", first)
        if title is None and re.match(r"# ?- ", first):
            continue
        if title is None:
            yield path, 1, "the first line is not '# ID  what happens'"
        elif not path.name.startswith(title[1] + "-"):
            yield path, 1, f"the file's name does not begin with {title[1]}-"
        elif title[1] not in faults or not faults[title[1]].names(path):
            yield path, 1, f"{title[1]} in tests/FAULTS does not name this scenario"
    for path in sorted([*TESTS.glob("unit/*.c"), *TESTS.glob("system/*.py")]):
        for name in functions(path):
            own = OWN.match(name)
            if own and (own[1] not in faults or not faults[own[1]].names(path, name)):
                yield path, line_of(path, name), f"{own[1]} in tests/FAULTS does not name {name}"


def line_of(path, name):
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if re.search(rf"\b{name}\(", line))


def main():
    faults, problems = read()
    problems += unnamed(faults)
    for path, number, problem in problems:
        print(f"{path.relative_to(TESTS.parent)}:{number}: {problem}")
    if not problems:
        tested = sum(bool(fault.tests) for fault in faults.values())
        urgent = sum(fault.priority == "P0" for fault in faults.values())
        print(f"faults: {tested} of {len(faults)} have tests, the others say when; {urgent} are P0")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
