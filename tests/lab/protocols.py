"""The protocols of scripted upstreams, by the names that scenarios have for them. How to add one:
README.md."""
from do53 import Do53
from doh import Doh
from dot import Dot

PROTOCOLS = {kind.NAME: kind for kind in (
    Do53,
    Dot,
    Doh,
)}
