#include "config/fault.h"

#include "base/status.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *place_text(const struct place *p, char out[PLACE_TEXT])
{
    const char *source = p->source ? p->source : "built-in default";
    if (p->line)
        snprintf(out, PLACE_TEXT, "%s:%u:%u", source, p->line, p->column);
    else
        snprintf(out, PLACE_TEXT, "%s", source);
    return out;
}

/* The message may quote what somebody wrote: nothing of it may break the line or the terminal.
 * Letters beyond ASCII stay as they are. */
static void tame(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

static bool same_source(const struct fault *a, const struct fault *b)
{
    return a->source_length == b->source_length && !strncmp(a->text, b->text, a->source_length);
}

static bool said_before(const struct faults *f, const struct fault *new)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct fault *old = &f->items[i];
        if (!strcmp(old->text, new->text))
            return true;
        if (new->line && !old->warning && old->line == new->line &&
            old->column == new->column &&same_source(old, new))
            return true;
    }
    return false;
}

/* Behind the last of its source that does not stand below it. */
static size_t slot_for(const struct faults *f, const struct fault *new)
{
    size_t slot = f->count;
    for (size_t i = f->count; i; i--) {
        const struct fault *old = &f->items[i - 1];
        if (!same_source(old, new))
            continue;
        if (old->line < new->line || (old->line == new->line && old->column <= new->column))
            return i;
        slot = i - 1;
    }
    return slot;
}

static void insert(struct faults *f, const struct fault *new)
{
    struct fault *items = realloc(f->items, (f->count + 1) * sizeof *items);
    char *text = strdup(new->text);
    if (items)
        f->items = items;
    if (!items || !text) {
        f->no_memory = true;
        free(text);
        return;
    }
    size_t slot = slot_for(f, new);
    memmove(items + slot + 1, items + slot, (f->count - slot) * sizeof *items);
    items[slot] = *new;
    items[slot].text = text;
    f->count++;
}

static void faults_add(struct faults *, const struct place *, bool warning, const char *format,
                       va_list) __attribute__((format(printf, 4, 0)));
static void faults_add(struct faults *f, const struct place *place, bool warning,
                       const char *format, va_list args)
{
    char where[PLACE_TEXT], message[1024], text[PLACE_TEXT + sizeof message + 16];
    vsnprintf(message, sizeof message, format, args);
    snprintf(text, sizeof text, "%s: %s%s", place_text(place, where), warning ? "warning: " : "",
             message);
    struct place source = {.source = place->source};
    struct fault new = {.text = text,
                        .warning = warning,
                        .source_length = strlen(place_text(&source, where)),
                        .line = place->line,
                        .column = place->column};
    tame(text);
    if (said_before(f, &new))
        return;
    if (f->errors < FAULTS_MAX)
        f->errors += !warning;
    if (f->count < FAULTS_MAX)
        insert(f, &new);
    else
        f->more = true;
}

void faults_error(struct faults *f, const struct place *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    faults_add(f, place, false, format, args);
    va_end(args);
}

void faults_no_memory(struct faults *f, const char *source)
{
    f->no_memory = true;
    faults_error(f, &(struct place){.source = source}, "no memory");
}

void faults_warn(struct faults *f, const struct place *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    faults_add(f, place, true, format, args);
    va_end(args);
}

void faults_print(const struct faults *f, FILE *out)
{
    for (size_t i = 0; i < f->count; i++)
        fprintf(out, "%s\n", f->items[i].text);
    if (f->more)
        fputs("and more\n", out);
    if (f->errors && !f->count)
        fputs("no memory\n", out);
}

void faults_done(struct faults *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->items[i].text);
    free(f->items);
    *f = (struct faults){0};
}

enum { WORD_MAX = 48 };

static unsigned least3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edit distance: insertions, removals, exchanges, and neighbours swapped; letter case is free. */
static unsigned distance(const char *a, size_t la, const char *b, size_t lb)
{
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= la; i++)
        d[i][0] = (unsigned)i;
    for (size_t j = 0; j <= lb; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        for (size_t j = 1; j <= lb; j++) {
            bool same = !strncasecmp(a + i - 1, b + j - 1, 1);
            d[i][j] = least3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + !same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < d[i][j])
                d[i][j] = d[i - 2][j - 2] + 1;
        }
    }
    return d[la][lb];
}

const char *nearest_word(const char *text, const char *(*next)(void *arg, size_t i), void *arg,
                         char out[NEAREST_TEXT])
{
    size_t length = strlen(text);
    unsigned least = length < 4 ? 2 : (unsigned)length / 3 + 2;
    const char *best = NULL, *word;
    if (length > WORD_MAX)
        return NULL;
    for (size_t i = 0; (word = next(arg, i)); i++) {
        size_t word_length = strlen(word);
        unsigned d = word_length > WORD_MAX ? least : distance(text, length, word, word_length);
        if (d < least) {
            least = d;
            snprintf(out, NEAREST_TEXT, "%s", word);
            best = out;
        }
    }
    return best;
}
