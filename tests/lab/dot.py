"""DNS over TLS [RFC 7858]."""
from talk import Framed


class Dot(Framed):
    """A connection."""

    NAME, PORT, ALPN = "dot", 853, "dot"
    URL = "tls://{address}#{name}"
