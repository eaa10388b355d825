#include "privydns_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Words for scripts: they outlive any sentence. */
static const char *status_word(enum privy_status status)
{
    switch (status) {
    case PRIVY_EUNREACHABLE:
        return "unreachable";
    case PRIVY_EPEER:
        return "untrusted";
    case PRIVY_ETIMEOUT:
        return "timeout";
    case PRIVY_ENOTREADY:
        return "not_ready";
    case PRIVY_ENOMEM:
        return "no_memory";
    default:
        return "failed";
    }
}

/* ---- text of foreign origin ---- */

/* Everything a terminal or a JSON reader could stumble over becomes \DDD. */
static void put_safe(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c > '~')
            printf("\\%03u", (unsigned)c);
        else
            putchar(c);
    }
}

static void put_json(const char *text, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\')
            printf("\\%c", text[i]);
        else if (text[i] < ' ' || text[i] > '~') /* an escaped backslash, then as above */
            printf("\\\\%03u", (unsigned)(unsigned char)text[i]);
        else
            putchar(text[i]);
    }
    putchar('"');
}

static void put_json_text(const char *text)
{
    if (text)
        put_json(text, strlen(text));
    else
        fputs("null", stdout);
}

/* RDATA of a record; the caller frees it. */
static char *rdata_text(const struct privy_answer *answer, const struct privy_record *record)
{
    size_t need = privy_record_text(answer, record, NULL, 0) + 1;
    char *text = malloc(need);

    if (!text) {
        fputs("privydns: no memory\n", stderr);
        exit(3);
    }
    privy_record_text(answer, record, text, need);
    return text;
}

/* ---- lines ---- */

static unsigned put_records(const struct privy_answer *answer, uint8_t section, bool bare)
{
    struct privy_record record;
    unsigned count = 0;
    char type[16];

    for (size_t at = 0; privy_answer_record(answer, &at, &record);) {
        if (record.section != section)
            continue;
        char *text = rdata_text(answer, &record);
        if (!bare)
            printf("%s\t%u\tIN\t%s\t", record.owner, (unsigned)record.ttl,
                   privy_type_text(record.type, type));
        puts(text);
        free(text);
        count++;
    }
    return count;
}

static void put_ede(const struct privy_answer *answer)
{
    const char *text;
    uint16_t code;
    size_t length;

    for (unsigned i = 0; privy_answer_ede(answer, i, &code, &text, &length); i++) {
        printf(";; extended error %u%s", (unsigned)code, length ? ": " : "");
        put_safe(text, length);
        putchar('\n');
    }
}

/* ";; NOERROR, from dns.quad9.net over dot in 23 ms (reused connection)" */
static void put_facts(const struct print_question *q, const struct privy_answer *answer)
{
    const struct privy_facts *facts = privy_answer_facts(answer);
    unsigned rcode = privy_answer_rcode(answer);
    char word[16];

    printf(";; %s", privy_rcode_text(rcode, word));
    if (rcode == 0 && !print_has_data(q, answer))
        printf(", no %s record of this name", privy_type_text(q->type, word));
    if (facts->upstream)
        printf(", from %s over %s", facts->upstream, facts->protocol);
    else if (facts->cached)
        printf(", cached");
    printf(" in %u ms%s%s%s", (unsigned)facts->milliseconds, facts->reused ? ", reused" : "",
           facts->resumed ? ", resumed" : "", facts->client_auth ? ", client certificate" : "");
    if (facts->attempts > 1)
        printf(", %u attempts", facts->attempts);
    putchar('\n');
}

/* ---- JSON: one object, always the same keys ---- */

static void json_question(const struct print_question *q)
{
    char type[16];

    fputs("{\"name\":", stdout);
    put_json_text(q->name);
    fputs(",\"type\":", stdout);
    put_json_text(privy_type_text(q->type, type));
}

static void json_records(const char *key, const struct privy_answer *answer, uint8_t section)
{
    struct privy_record record;
    const char *comma = "";
    char type[16];

    printf(",\"%s\":[", key);
    for (size_t at = 0; answer && privy_answer_record(answer, &at, &record);) {
        if (record.section != section)
            continue;
        char *text = rdata_text(answer, &record);
        printf("%s{\"name\":", comma);
        put_json_text(record.owner);
        printf(",\"ttl\":%u,\"type\":", (unsigned)record.ttl);
        put_json_text(privy_type_text(record.type, type));
        fputs(",\"data\":", stdout);
        put_json_text(text);
        putchar('}');
        free(text);
        comma = ",";
    }
    putchar(']');
}

static void json_ede(const struct privy_answer *answer)
{
    const char *text;
    uint16_t code;
    size_t length;

    fputs(",\"extended_errors\":[", stdout);
    for (unsigned i = 0; answer && privy_answer_ede(answer, i, &code, &text, &length); i++) {
        printf("%s{\"code\":%u,\"text\":", i ? "," : "", (unsigned)code);
        put_json(text, length);
        putchar('}');
    }
    putchar(']');
}

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

static void json_sections(const struct privy_answer *answer)
{
    json_records("answer", answer, 1);
    json_records("authority", answer, 2);
    json_records("additional", answer, 3);
    json_ede(answer);
}

static void json_facts(const struct privy_facts *facts)
{
    fputs(",\"upstream\":", stdout);
    put_json_text(facts->upstream);
    fputs(",\"protocol\":", stdout);
    put_json_text(facts->protocol);
    printf(",\"client_auth\":%s,\"milliseconds\":%u,\"attempts\":%u,\"reused\":%s,\"resumed\":%s",
           json_bool(facts->client_auth), (unsigned)facts->milliseconds, facts->attempts,
           json_bool(facts->reused), json_bool(facts->resumed));
}

static void json_answer(const struct print_question *q, const struct privy_answer *answer)
{
    char word[16];

    json_question(q);
    fputs(",\"status\":", stdout);
    put_json_text(privy_rcode_text(privy_answer_rcode(answer), word));
    json_sections(answer);
    json_facts(privy_answer_facts(answer));
    fputs(",\"error\":null}\n", stdout);
}

static void json_error(const struct print_question *q, const struct privy_error *error)
{
    const struct privy_facts none = {.attempts = error->attempt_count};

    json_question(q);
    fputs(",\"status\":null", stdout);
    json_sections(NULL);
    json_facts(&none);
    printf(",\"error\":{\"code\":\"%s\",\"message\":", status_word(error->status));
    put_json_text(error->message);
    fputs(",\"attempts\":[", stdout);
    for (unsigned i = 0; i < error->attempt_count && i < PRIVY_ERROR_ATTEMPTS; i++) {
        const struct privy_attempt *a = &error->attempts[i];
        printf("%s{\"upstream\":", i ? "," : "");
        put_json_text(a->upstream);
        fputs(",\"protocol\":", stdout);
        put_json_text(a->protocol);
        fputs(",\"reason\":", stdout);
        put_json_text(a->reason);
        printf(",\"milliseconds\":%u,\"sent\":%s}", (unsigned)a->milliseconds, json_bool(a->sent));
    }
    fputs("]}}\n", stdout);
}

/* ---- */

bool print_has_data(const struct print_question *q, const struct privy_answer *answer)
{
    struct privy_record record;

    for (size_t at = 0; privy_answer_record(answer, &at, &record);)
        if (record.section == 1 && (record.type == q->type || q->type == 255))
            return true;
    return false;
}

void print_answer(const struct print_question *q, const struct privy_answer *answer)
{
    if (q->form == PRINT_JSON) {
        json_answer(q, answer);
        return;
    }
    if (q->form == PRINT_SHORT) {
        put_records(answer, 1, true);
        return;
    }
    put_records(answer, 1, false);
    if (!print_has_data(q, answer))
        put_records(answer, 2, false);
    put_ede(answer);
    put_facts(q, answer);
}

void print_error(const struct print_question *q, const struct privy_error *error)
{
    if (q->form == PRINT_JSON) {
        json_error(q, error);
        return;
    }
    fprintf(stderr, "privydns: %s: %s\n", q->name, error->message);
    for (unsigned i = 0; i < error->attempt_count && i < PRIVY_ERROR_ATTEMPTS; i++) {
        const struct privy_attempt *a = &error->attempts[i];
        fprintf(stderr, "  %s (%s): %s, %u ms%s\n", a->upstream, a->protocol, a->reason,
                (unsigned)a->milliseconds, a->sent ? "" : ", nothing sent");
    }
}
