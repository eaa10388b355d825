"""Write registry.c: the list of protocol handlers of this build.

usage: registry.py OUTPUT NAME...
"""
import sys

out, names = sys.argv[1], sys.argv[2:]
lines = ["/* Written by lib/proto/registry.py. */", '#include "proto/registry.h"', ""]
lines += [f"extern const struct pv_proto pv_proto_{n}[];" for n in names]
lines += ["", "const struct pv_proto *const pv_protos[] = {"]
lines += [f"    pv_proto_{n}," for n in names]
lines += ["    NULL,", "};", ""]
with open(out, "w") as f:
    f.write("\n".join(lines))
