#include "net/h2_response.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_FIRST = 512 };

void pv_h2_response_init(struct pv_h2_response *r)
{
    *r = (struct pv_h2_response){0};
}

void pv_h2_response_done(struct pv_h2_response *r)
{
    free(r->body);
    r->body = NULL;
}

void pv_h2_response_end_block(struct pv_h2_response *r)
{
    r->has_head = r->status >= 200;
    if (!r->has_head)
        *r = (struct pv_h2_response){
            .fields = r->fields, .field_octets = r->field_octets, .unwanted = r->unwanted};
}

void pv_h2_response_forget(struct pv_h2_response *r)
{
    pv_h2_response_done(r);
    r->room = 0;
    r->unwanted = true;
}

/* ---- fields ---- */

static bool is(const uint8_t *text, size_t length, const char *word)
{
    return length == strlen(word) && memcmp(text, word, length) == 0;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Seconds: digits, the first of a list. Too large a number is a large number [RFC 9111 §1.2.2];
 * what is no number is not there. */
static bool read_seconds(const uint8_t *value, size_t length, uint32_t *ret)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < length && value[i] >= '0' && value[i] <= '9'; i++)
        n = n < UINT32_MAX ? n * 10 + (value[i] - '0') : n;
    if (i == 0 || (i < length && value[i] != ',' && value[i] != ' ' && value[i] != '\t'))
        return false;
    *ret = n < 0x80000000 ? (uint32_t)n : 0x80000000;
    return true;
}

static void read_status(struct pv_h2_response *r, const uint8_t *value, size_t length)
{
    r->status = 0;
    for (size_t i = 0; i < length && i < 3; i++)
        r->status = r->status * 10 + (value[i] - '0') % 10U;
}

/* "application/dns-message; charset=utf-8" */
static void read_type(struct pv_h2_response *r, const uint8_t *value, size_t length)
{
    size_t n = 0;
    while (n < length && n < sizeof r->type - 1 && value[n] != ';' && value[n] != ' ') {
        r->type[n] = (char)lower(value[n]);
        n++;
    }
    r->type[n] = '\0';
}

static bool is_identity(const uint8_t *value, size_t length)
{
    static const char word[] = "identity";
    if (length != sizeof word - 1)
        return false;
    for (size_t i = 0; i < length; i++)
        if (lower(value[i]) != (uint8_t)word[i])
            return false;
    return true;
}

bool pv_h2_response_field(struct pv_h2_response *r, const uint8_t *name, size_t name_length,
                          const uint8_t *value, size_t value_length)
{
    size_t octets = name_length + value_length + 32;
    if (++r->fields > PV_H2_FIELDS_MOST || octets > PV_H2_FIELD_OCTETS_MOST - r->field_octets)
        return false;
    r->field_octets += (unsigned)octets;
    if (r->has_head)
        return true;
    if (is(name, name_length, ":status"))
        read_status(r, value, value_length);
    else if (is(name, name_length, "content-type"))
        read_type(r, value, value_length);
    else if (is(name, name_length, "content-encoding"))
        r->encoded = !is_identity(value, value_length);
    else if (is(name, name_length, "age") && !r->has_age)
        r->has_age = read_seconds(value, value_length, &r->age);
    else if (is(name, name_length, "retry-after") && !r->has_retry_after)
        r->has_retry_after = read_seconds(value, value_length, &r->retry_after);
    return true;
}

/* ---- body ---- */

enum pv_h2_add pv_h2_response_add(struct pv_h2_response *r, const uint8_t *bytes, size_t n)
{
    if (n > PV_H2_BODY_MOST - r->length)
        return PV_H2_TOO_LARGE;
    if (r->unwanted) {
        r->length += n;
        return PV_H2_ADDED;
    }
    if (n > r->room - r->length) {
        size_t room = r->room ? r->room : BODY_FIRST;
        while (room < r->length + n)
            room *= 2;
        uint8_t *body = realloc(r->body, room);
        if (!body)
            return PV_H2_NO_MEMORY;
        r->body = body;
        r->room = room;
    }
    memcpy(r->body + r->length, bytes, n);
    r->length += n;
    return PV_H2_ADDED;
}
