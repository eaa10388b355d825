"""What can stand behind `expect`: @check("log is printable") adds one. The groups of the pattern
are the function's arguments; Failed says what is so instead."""
import operator
import re

from scenario import TIME

OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
             "=": operator.eq, None: operator.eq}
COMPARED = r"(?: (?P<op><=|>=|<|>|=))? (?P<value>\d+)"
COMPARED_TIME = rf"(?: (?P<op><=|>=|<|>|=))? (?P<value>{TIME})"
WINDOW = rf"(?: from (?P<first>{TIME}) to (?P<last>{TIME}))?"
CHECKS = []


class Failed(AssertionError):
    """An expectation that does not hold; the text has what is so instead."""


def check(pattern):
    def add(function):
        CHECKS.append((re.compile(pattern), function))
        return function
    return add


def compare(found, op, value):
    if not OPERATORS[op](found, value):
        raise Failed(f"it is {found:g}")


def hold(lab, text):
    """Failed where the expectation does not hold now."""
    for pattern, function in CHECKS:
        found = pattern.fullmatch(text)
        if found:
            function(lab, **found.groupdict())
            return
    raise ValueError(f"not an expectation: {text}")
