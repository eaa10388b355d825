"""Bugs to be planted, one a simulator.

python3 plants.py list | file NAME | text NAME | write NAME OUT

Each is a change of one source file of the library, made in a copy: (file, text, [(old, new), ...]).
Every old text stands in the file exactly once; text: what the simulator says when it finds the bug.
"""
import sys
from pathlib import Path

LIB = Path(__file__).resolve().parents[2] / "lib"

PLANTS = {
    # Who joins a question gives all who wait for it his own time.
    "deadline": ("resolver/coalesce.c", "after its deadline", [(
        """\
    pv_timer_set(r->loop, &a->deadline, a->begun + (uint64_t)options->deadline * 1000,
                 deadline_fired);
""", """\
    pv_list_each (it, &q->askers)
        pv_timer_set(r->loop, &ASKER(it)->deadline,
                     a->begun + (uint64_t)options->deadline * 1000, deadline_fired);
""")]),
    # What a connection had read and not understood is where the next one begins.
    "reader": ("net/stream.c", "is blamed for a bad answer it did not give", [(
        """\
static void on_sock(void *arg, unsigned events);
""", """\
static void on_sock(void *arg, unsigned events);
static struct {
    size_t length;
    uint64_t at;
    uint8_t bytes[65536];
} left;
"""), (
        """\
    pv_buf_done(&s->in);
""", """\
    left.at = pv_now(s->loop);
    left.length = pv_buf_length(&s->in) <= sizeof left.bytes ? pv_buf_length(&s->in) : 0;
    if (left.length)
        memcpy(left.bytes, pv_buf_front(&s->in), left.length);
    pv_buf_done(&s->in);
"""), (
        """\
    pv_buf_init(&s->in, o->in_limit);
""", """\
    pv_buf_init(&s->in, o->in_limit);
    if (pv_now(l) >= left.at) /* else it is another world's */
        pv_buf_append(&s->in, left.bytes, left.length);
    left.length = 0;
""")]),
    # The id of a question that was given up is free at once.
    "id": ("net/idmap.c", "was used again on a connection that had not answered it", [(
        """\
    slot->value = NULL;
    slot->used = RESERVED;
    m->live--;
    m->reserved++;
""", """\
    m->live--;
    release(m, slot);
""")]),
    # The back-off counts even where there is no other way out.
    "backoff": ("conn/health.c", "right again after", [(
        """\
(!last_way_out && now < LOAD(h->next_trial_us))""", """\
now < LOAD(h->next_trial_us)""")]),
    # The first one's deadline takes along those who joined it.
    "follower": ("resolver/coalesce.c", "askers wait, the resolver knows", [(
        """\
    if (pv_list_empty(&q->askers) && !q->background)
        pv_query_expired(q);
    a->query = NULL;
""", """\
    if (!q->background) {
        pv_askers_forget(q);
        pv_query_expired(q);
    }
    a->query = NULL;
""")]),
    # The time that an answer has spent in an HTTP cache is not taken off its own.
    "age": ("proto/doh.c", "with a life of", [(
        """\
    a->age = r->age;
""", "")]),
    # A key that is another certificate's takes the place of the one in use.
    "mismatch": ("net/pair.c", "is healthy", [(
        """\
    bool pair = X509_check_private_key(p->leaf, p->key) == 1;
""", """\
    bool pair = true;
""")]),
    # What is sent again is sealed with the nonce of the first time.
    "nonce": ("proto/dnscrypt/trip.c", "a nonce was used twice", [(
        """\
    pv_random(sent->nonce, sizeof sent->nonce);
""", """\
    if (t->datagram_count)
        memcpy(sent->nonce, t->datagrams[0].nonce, sizeof sent->nonce);
    else
        pv_random(sent->nonce, sizeof sent->nonce);
""")]),
}


def planted(name):
    file, _, changes = PLANTS[name]
    text = (LIB / file).read_text(encoding="utf-8")
    for old, new in changes:
        if text.count(old) != 1:
            sys.exit(f"plants.py: {name}: lib/{file} holds {text.count(old)} times:\n{old}")
        text = text.replace(old, new)
    return text


def main():
    command, *rest = sys.argv[1:]
    if command == "list":
        print(*PLANTS)
    elif command == "file":
        print(LIB / PLANTS[rest[0]][0])
    elif command == "text":
        print(PLANTS[rest[0]][1])
    else:
        Path(rest[1]).write_text(planted(rest[0]), encoding="utf-8")


if __name__ == "__main__":
    main()
