#!/usr/bin/env python3
"""Write the wire vectors as a C header: to_c.py dns-messages.json vectors.h"""
import json
import sys

STRUCTS = """/* Made from dns-messages.json by to_c.py. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const uint8_t *at;
    size_t length;
};
struct query_vector {
    const char *id, *action, *reason;
    bool tcp;
    struct bytes message, response; /* response.at NULL: none */
};
struct reply_vector {
    const char *id, *verdict, *reason;
    struct bytes query, message;
    int rcode;
    long cache_ttl; /* -1: none */
    size_t trailing;
    unsigned ede_count, ede[2];
};
struct ttl_vector {
    const char *id;
    bool stale;
    uint32_t age;
    struct bytes stored, expect; /* expect.at NULL: not served */
};
struct padding_vector {
    const char *id, *qname;
    uint16_t qtype;
    bool dnssec_ok;
    struct bytes message;
};
struct local_vector {
    const char *id, *action, *answer, *authority; /* one record at most in each, "" is none */
    int rcode;
    struct bytes message;
};
struct truncation_vector {
    const char *id;
    uint16_t limit;
    struct bytes query, upstream, expect;
};
"""


def text(value):
    return "NULL" if value is None else json.dumps(value)


def truth(value):
    return "true" if value else "false"


class Header:
    def __init__(self):
        self.arrays, self.tables = [], []

    def octets(self, value):
        if value is None:
            return "{NULL, 0}"
        data = bytes.fromhex(value)
        name = f"octets_{len(self.arrays)}"
        body = ", ".join(str(octet) for octet in data or b"\0")
        self.arrays.append(f"static const uint8_t {name}[] = {{{body}}};\n")
        return f"{{{name}, {len(data)}}}"

    def table(self, kind, rows):
        body = "".join(f"    {{{', '.join(row)}}},\n" for row in rows)
        self.tables.append(
            f"__attribute__((unused)) static const struct {kind}_vector {kind}_vectors[] = "
            f"{{\n{body}}};\n")


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        data = json.load(f)
    h = Header()
    h.table("query", [
        [text(v["id"]), text(v["expect"]["action"]), text(v["expect"].get("reason", "")),
         truth(v["transport"] == "tcp"), h.octets(v["hex"]),
         h.octets(v["expect"].get("response_hex"))] for v in data["client_queries"]])
    h.table("reply", [
        [text(v["id"]), text(e["verdict"]), text(e["reason"]), h.octets(v["query_hex"]),
         h.octets(v["hex"]), str(e.get("rcode", 0)),
         str(-1 if e.get("cache_ttl") is None else e["cache_ttl"]), str(e.get("trailing", 0)),
         str(len(e.get("ede", []))), "{%s}" % (", ".join(map(str, e.get("ede", []))) or "0")]
        for v in data["upstream_responses"] for e in [v["expect"]]])
    h.table("ttl", [
        [text(v["id"]), truth(v.get("stale")), str(v["age"]), h.octets(v["stored_hex"]),
         h.octets(v["expect_hex"])] for v in data["ttl"]])
    h.table("padding", [
        [text(v["id"]), text(v["qname"]), str(v["qtype"]), truth(v["do"]), h.octets(v["hex"])]
        for v in data["padding"]])
    h.table("local", [
        [text(v["id"]), text(e["action"]), text("".join(e.get("answer", []))),
         text("".join(e.get("authority", []))), str(e.get("rcode", 0)), h.octets(v["hex"])]
        for v in data["local_zones"] for e in [v["expect"]]])
    h.table("truncation", [
        [text(v["id"]), str(v["limit"]), h.octets(v["client_query_hex"]),
         h.octets(v["upstream_hex"]), h.octets(v["expect_hex"])] for v in data["truncation"]])
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(STRUCTS + "".join(h.arrays) + "".join(h.tables))


main()
