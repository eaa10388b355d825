#include "config/value.h"

#include "config/fault.h"

#include <privydns/options.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *suffix;
    uint32_t factor;
};

/* Largest first. */
static const struct unit durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                        {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit sizes[] = {
    {"GiB", 1U << 30}, {"MiB", 1U << 20}, {"KiB", 1U << 10}, {"", 1}, {NULL, 0}};
static const struct unit counts[] = {{"", 1}, {NULL, 0}};
static const struct unit percents[] = {{"%", 1}, {NULL, 0}};

static const struct schema_word booleans[] = {{"true", 1}, {"false", 0}, {"yes", 1}, {"no", 0},
                                              {"on", 1},   {"off", 0},   {NULL, 0}};
static const struct schema_word strategies[] = {{"fastest", PRIVY_FASTEST},
                                                {"ordered", PRIVY_ORDERED},
                                                {"spread", PRIVY_SPREAD},
                                                {"shard", PRIVY_SHARD},
                                                {NULL, 0}};
static const struct schema_word subnets[] = {
    {"strip", PRIVY_ECS_STRIP}, {"zero", PRIVY_ECS_ZERO}, {NULL, 0}};

/* How the numbers of each type are written. */
static const struct kind {
    const struct unit *units;
    const struct schema_word *words;
    const char *noun;
    bool automatic; /* `auto` is 0 */
} kinds[] = {
    [PRIVY_UNIT_COUNT] = {.units = counts, .noun = "a whole number"},
    [PRIVY_UNIT_BOOL] = {.words = booleans},
    [PRIVY_UNIT_MS] = {.units = durations, .noun = "a duration, such as 500ms, 5s, 10m, 1h or 1d"},
    [PRIVY_UNIT_MS_AUTO] = {.units = durations,
                            .noun = "auto or a duration, such as 500ms or 5s",
                            .automatic = true},
    [PRIVY_UNIT_BYTES] = {.units = sizes, .noun = "a size, such as 64KiB or 32MiB"},
    [PRIVY_UNIT_PERCENT] = {.units = percents, .noun = "a percentage, such as 5%"},
    [PRIVY_UNIT_STRATEGY] = {.words = strategies},
    [PRIVY_UNIT_ECS] = {.words = subnets},
    [TYPE_COUNT_AUTO] = {.units = counts, .noun = "auto or a whole number", .automatic = true},
};

static const struct kind *kind_of(const struct schema_row *row)
{
    static const struct kind none;
    return row->type < sizeof kinds / sizeof *kinds ? &kinds[row->type] : &none;
}

const struct schema_word *value_words(const struct schema_row *row)
{
    const struct schema_word *words = kind_of(row)->words;
    return words ? words : row->words;
}

/* ---- words ---- */

static const char *next_word(void *arg, size_t i)
{
    return ((const struct schema_word *)arg)[i].word;
}

static size_t list_words(const struct schema_word *words, char *out, size_t capacity)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; words[i].word && used < capacity; i++) {
        const char *glue = i == 0 ? "" : words[i + 1].word ? ", " : " or ";
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", glue, words[i].word);
    }
    return used;
}

bool word_parse(const struct schema_word *words, const char *text, uint32_t *ret,
                char complaint[VALUE_TEXT])
{
    char allowed[VALUE_TEXT / 2];
    bool loose = words == booleans;
    for (size_t i = 0; words[i].word; i++) {
        if (!(loose ? strcasecmp(words[i].word, text) : strcmp(words[i].word, text))) {
            *ret = words[i].value;
            return true;
        }
    }
    char out[NEAREST_TEXT];
    const char *near = nearest_word(text, next_word, (void *)words, out);
    list_words(words, allowed, sizeof allowed);
    snprintf(complaint, VALUE_TEXT, "'%.60s' is not %s%s%s%s", text,
             loose ? "true or false" : allowed, near ? "; did you mean '" : "", near ? near : "",
             near ? "'?" : "");
    return false;
}

/* ---- numbers ---- */

static uint32_t least_of(const struct schema_row *row)
{
    return kind_of(row)->automatic && !row->least ? 1 : row->least;
}

static bool number_parse(const struct kind *kind, const char *text, uint64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t n = 0;
    if (!digits)
        return false;
    for (size_t i = 0; i < digits; i++)
        n = n > UINT32_MAX ? n : n * 10 + (uint64_t)(text[i] - '0');
    for (const struct unit *u = kind->units; u->suffix; u++) {
        if (!strcmp(text + digits, u->suffix) || (!n && !text[digits])) {
            *ret = n * u->factor;
            return true;
        }
    }
    return false;
}

static const char *number_text(const struct kind *kind, uint32_t v, char out[VALUE_TEXT])
{
    const struct unit *u = kind->units;
    while (u[1].suffix && (!v || v % u->factor))
        u++;
    if (!v && u->suffix[0] == 'm')
        u--; /* 0s, not 0ms */
    snprintf(out, VALUE_TEXT, "%u%s", v / u->factor, u->suffix);
    return out;
}

static bool bounded_parse(const struct schema_row *row, const char *text, uint32_t *ret,
                          char complaint[VALUE_TEXT])
{
    const struct kind *kind = kind_of(row);
    char allowed[VALUE_TEXT];
    uint64_t v;
    if (!number_parse(kind, text, &v)) {
        snprintf(complaint, VALUE_TEXT, "'%.60s' is not %s", text, kind->noun);
        return false;
    }
    if (v < least_of(row) || v > row->most) {
        snprintf(complaint, VALUE_TEXT, "%.60s is out of bounds; allowed: %.120s", text,
                 value_allowed(row, allowed));
        return false;
    }
    *ret = (uint32_t)v;
    return true;
}

bool value_parse(const struct schema_row *row, const char *text, uint32_t *ret,
                 char complaint[VALUE_TEXT])
{
    const struct schema_word *words = value_words(row);
    if (words)
        return word_parse(words, text, ret, complaint);
    if (kind_of(row)->automatic && !strcmp(text, "auto")) {
        *ret = 0;
        return true;
    }
    return bounded_parse(row, text, ret, complaint);
}

const char *value_text(const struct schema_row *row, uint32_t v, char out[VALUE_TEXT])
{
    const struct schema_word *words = value_words(row);
    for (size_t i = 0; words && words[i].word; i++)
        if (words[i].value == v)
            return words[i].word;
    if (kind_of(row)->automatic && !v)
        return "auto";
    return number_text(kind_of(row), v, out);
}

const char *value_allowed(const struct schema_row *row, char out[VALUE_TEXT])
{
    const struct kind *kind = kind_of(row);
    const struct schema_word *words = value_words(row);
    char least[VALUE_TEXT], most[VALUE_TEXT];
    if (words == booleans)
        return "true or false";
    if (words)
        list_words(words, out, VALUE_TEXT);
    else
        snprintf(out, VALUE_TEXT, "%s%.40s to %.40s", kind->automatic ? "auto, or " : "",
                 number_text(kind, least_of(row), least), number_text(kind, row->most, most));
    return out;
}
