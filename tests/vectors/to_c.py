#!/usr/bin/env python3
"""Write vectors as a C header: to_c.py dns-messages.json vectors.h, to_c.py dnscrypt.json ..."""
import json
import sys
from pathlib import Path

BEGINNING = """/* Made from %s by to_c.py. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const uint8_t *at;
    size_t length;
};
"""

MESSAGES = """struct query_vector {
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

DNSCRYPT = """struct key_vector {
    const char *id;
    struct bytes key;
};
struct certificate_vector {
    const char *id, *reason; /* reason NULL: usable */
    uint32_t now;
    struct bytes record;
};
struct choice_vector {
    const char *id;
    bool allow_xsalsa;
    uint32_t now;
    struct bytes record[2];
    int expect; /* -1: none */
};
struct txt_vector {
    const char *id;
    struct bytes message, record[2];
};
struct sealed_vector {
    const char *id;
    unsigned construction;
    size_t padded;
    struct bytes message, nonce, shared, magic, client, packet;
};
struct opened_vector {
    const char *id, *reason; /* reason NULL: accepted */
    unsigned construction;
    struct bytes shared, nonce, packet, message;
};
struct relay_vector {
    const char *id, *server;
    struct bytes prefix;
};
struct pad_datagram_vector {
    size_t message, least, padded;
};
struct pad_stream_vector {
    size_t message, allowed[4];
};
"""

STAMPS = """struct stamp_vector {
    const char *id, *stamp, *reason; /* reason NULL: valid, and the rest as it should be */
    unsigned type;
    bool dnssec, nolog, nofilter;
    unsigned port;
    const char *address, *host, *path, *provider_name, *bootstrap, *relay; /* NULL: none */
    struct bytes provider_key, hashes;
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


def messages(h, data):
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


def pair(h, values):
    return "{%s}" % ", ".join(h.octets(v) for v in (values + [None, None])[:2])


def dnscrypt(h, data):
    h.table("key", [[text(k), h.octets(v)] for k, v in data["keys"].items()]
            + [[text(f"shared_{v['es_version']}"), h.octets(v["hex"])] for v in data["shared_keys"]]
            + [[text("weak"), h.octets(data["weak_public_key"]["hex"])]])
    h.table("certificate", [
        [text(v["id"]), text(v["reason"]), str(v["now"]), h.octets(v["hex"])]
        for v in data["certificates"]])
    h.table("choice", [
        [text(v["id"]), truth(v["allow_es1"]), str(v["now"]), pair(h, v["certs"]),
         str(-1 if v["expect_index"] is None else v["expect_index"])]
        for v in data["certificate_selection"]])
    h.table("txt", [[text(v["id"]), h.octets(v["hex"]), pair(h, v["expect_blobs"])]
                    for v in data["certificate_txt"]])
    h.table("sealed", [
        [text(v["id"]), str(v["es_version"]), str(v["padded_length"]), h.octets(v["dns_query"]),
         h.octets(v["client_nonce"]), h.octets(v["shared_key"]), h.octets(v["client_magic"]),
         h.octets(v["client_public_key"]), h.octets(v["datagram"])]
        for v in data["query_encrypt"]])
    h.table("opened", [
        [text(v["id"]), text(v.get("reason")), str(v["es_version"]), h.octets(v["shared_key"]),
         h.octets(v["expected_client_nonce"]), h.octets(v["datagram"]),
         h.octets(v.get("dns_response"))] for v in data["response_decrypt"]])
    h.table("relay", [[text(v["id"]), text(v["server"]), h.octets(v["prefix"])]
                      for v in data["relay"]])
    h.table("pad_datagram", [[str(v["dns_length"]), str(v["udp_min"]), str(v["padded"])]
                             for v in data["udp_padding"]])
    h.table("pad_stream", [[str(v["dns_length"]), "{%s}" % ", ".join(map(str, v["allowed_padded"]))]
                           for v in data["tcp_padding"]])


def stamp_address(e):
    return f"{e['ip']}:{e['port']}" if e.get("addr") else None


def stamp_host(e):
    host = e.get("host")
    return host and host.strip("[]").encode("idna").decode()


def stamp(h, v, e, relay=None):
    return [text(v["id"]), text(v["stamp"]), text(v.get("reason")), str(e.get("protocol", 0)),
            truth(e.get("dnssec")), truth(e.get("nolog")), truth(e.get("nofilter")),
            str(e.get("port", 0)), text(stamp_address(e)), text(stamp_host(e)),
            text(e.get("path")), text(e.get("provider")),
            text(" ".join(e.get("bootstrap", [])) or None), text(relay),
            h.octets(e.get("pk")), h.octets("".join(e.get("hashes", [])) or None)]


def stamps(h, data):
    h.table("stamp",
            [stamp(h, v, v["expect"]) for v in data["real"] + data["synthetic"]]
            + [stamp(h, v, {}) for v in data["invalid"]]
            + [stamp(h, v, v["expect"]["server"], stamp_address(v["expect"]["relay"]))
               for v in data["combined"]])


KINDS = {"dns-messages": (MESSAGES, messages), "dnscrypt": (DNSCRYPT, dnscrypt),
         "stamps": (STAMPS, stamps)}


def main():
    source = Path(sys.argv[1])
    structs, fill = KINDS[source.stem]
    h = Header()
    fill(h, json.loads(source.read_text(encoding="utf-8")))
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(BEGINNING % source.name + structs + "".join(h.arrays) + "".join(h.tables))


main()
