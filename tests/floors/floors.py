"""Reads every #include of lib/ and daemon/ and fails on one that runs up or sideways.

The table is the architecture: a file may include its own folder and what stands in its row.
"""
import re
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]

PURE = {"lib/base", "lib/wire", "public"}
LIB = {
    "lib/base": {"public"},
    "lib/wire": {"lib/base", "public"},
    "lib/upstream": {"lib/base", "public"},
    "lib/net": {"lib/base", "public"},
    "lib/cache": {"lib/wire", "lib/base", "public"},
}
LIB["lib/conn"] = {"lib/net", "lib/upstream", "lib/wire", "lib/base", "public"}
LIB["lib/proto"] = LIB["lib/conn"] | {"lib/conn"}
LIB["lib/resolver"] = LIB["lib/conn"] | {"lib/conn", "lib/cache", "lib/proto/registry"}
DAEMON = {
    "daemon/config": PURE,
    "daemon/policy": PURE | {"daemon/config"},
    "daemon/serve": PURE | {"daemon/config", "daemon/policy"},
    "daemon/admin": PURE | {"daemon/config", "daemon/serve"},
    "daemon/process": PURE | {"daemon/config", "daemon/serve"},
    "daemon": PURE | {"daemon/config", "daemon/policy", "daemon/serve", "daemon/admin",
                      "daemon/process"},
}
MAY = {**LIB, **DAEMON, "public": set()}
PROGRAMS = {"daemon/privydns", "daemon/privydns_print", "daemon/privydnsctl"}  # public header only
READS_URLS = SOURCE / "daemon" / "config" / "check.c"

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<(privydns/[^>]+)>)', re.M)
PROTOCOL = re.compile(r'"(dot|doh|dnscrypt|do53|doq|odoh|h2|tls|https|sdns|quic)(://)?"')


def floor(path):
    """The row of a file: its folder, "public" for the installed headers."""
    parts = path.relative_to(SOURCE).parts
    return "public" if parts[:2] == ("lib", "include") else "/".join(parts[:-1][:2])


def target(path, name):
    """The file that an #include means, or None where it is not one of ours."""
    for base in (path.parent, SOURCE / "lib", SOURCE / "lib" / "include", SOURCE / "daemon",
                 SOURCE):
        if (base / name).is_file():
            return (base / name).resolve()
    return None


def allowed(path, included):
    mine, other = floor(path), floor(included)
    stem = str(included.relative_to(SOURCE).with_suffix(""))
    me = str(path.relative_to(SOURCE).with_suffix(""))
    if me in PROGRAMS:
        return other == "public" or stem in PROGRAMS
    return mine == other or other in MAY[mine] or stem in MAY[mine]


def faults_of(path):
    text = path.read_text()
    for match in INCLUDE.finditer(text):
        name = match.group(1) or match.group(2)
        included = target(path, name)
        line = text.count("\n", 0, match.start()) + 1
        if included is None and match.group(1) and "generated" not in name:
            yield line, f'"{name}" is not in the tree'
        elif included and not allowed(path, included):
            yield line, f'"{name}" stands on a floor that this file may not see'


def named_protocols(path):
    """Nothing outside lib/proto names a protocol, but what reads URLs: it names schemes."""
    if floor(path) in ("lib/proto", "lib/upstream", "public") or path == READS_URLS:
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = re.sub(r"/\*.*?\*/|^\s*/?\*.*", "", line)
        found = PROTOCOL.search(code)
        if found:
            yield number, f"{found.group(0)} names a protocol outside lib/proto"


def circles(files):
    """Files of one folder that include each other in a circle."""
    graph = {p: {t for m in INCLUDE.finditer(p.read_text())
                 if (t := target(p, m.group(1) or m.group(2))) and floor(t) == floor(p)}
             for p in files if p.suffix == ".h"}
    for start in graph:
        seen, stack = set(), list(graph[start])
        while stack:
            at = stack.pop()
            if at == start:
                yield start
                break
            if at not in seen:
                seen.add(at)
                stack.extend(graph.get(at, ()))


def main():
    files = sorted(p for top in ("lib", "daemon") for p in (SOURCE / top).rglob("*.[ch]"))
    faults = []
    for path in files:
        if floor(path) not in MAY:
            faults.append(f"{path.relative_to(SOURCE)}:1: a folder that the table does not know")
            continue
        found = [*faults_of(path), *named_protocols(path)]
        faults += [f"{path.relative_to(SOURCE)}:{line}: {what}" for line, what in found]
    faults += [f"{p.relative_to(SOURCE)}:1: includes itself in a circle" for p in circles(files)]
    print("\n".join(faults + [f"floors: {len(files)} files, {len(faults)} faults"]))
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())
