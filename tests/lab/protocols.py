"""The protocols of scripted upstreams, by the names that scenarios have for them. How to add one:
README.md."""
from do53 import Do53
from dnscrypt_v2 import Dnscrypt
from doh import Doh
from dot import Dot
from relay import Relay

PROTOCOLS = {kind.NAME: kind for kind in (
    Do53,
    Dot,
    Doh,
    Dnscrypt,
    Relay,
)}
