"""DNS over HTTPS [RFC 8484]: the protocol, and what only it can be expected to do.

    expect a got only fields ":method POST; :scheme https; ..."     each request, in this order
    expect most streams a <= 10              at once on one connection; resets, pings: by the daemon
    expect overruns a 0                      streams above the limit that was agreed
    expect late streams a 0                  streams after GOAWAY
"""
import re

import http_deeds  # noqa: F401  deeds
import http_frames  # noqa: F401  deeds
from checks import COMPARED, Failed, check, compare
from http2 import Http2


class Doh(Http2):
    """A connection."""

    NAME, PORT, ALPN = "doh", 443, "h2"
    URL = "https://{address}/dns-query#{name}"


@check(r"(?P<what>most streams|overruns|late streams|pings|resets) (?P<name>[a-z]\S*)" + COMPARED)
def http_counted(lab, what, name, op, value):
    compare(lab.upstreams[name].do("counts")[what], op, int(value))


@check(r'(?P<name>[a-z]\S*) got only fields "(?P<wanted>[^"]+)"')
def got_only_fields(lab, name, wanted):
    """A value may be a regular expression."""
    wanted = [each.split(" ", 1) for each in wanted.split("; ")]
    requests = lab.upstreams[name].do("requests")
    if not requests:
        raise Failed("none came")
    for fields in requests:
        if len(fields) != len(wanted) or not all(
                name == field and re.fullmatch(value, found)
                for (name, found), (field, value) in zip(fields, wanted)):
            raise Failed(str(fields))
