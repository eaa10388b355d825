/* privydns-gen: the texts that come from the tables. `yaml` is conf/privydns.yaml, `man` the lists
 * of privydns.yaml(5); a test compares them with what is committed. */
#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"

#include <ctype.h>
#include <string.h>

static const char head[] =
    "# Configuration of privydnsd: every key, with its default. See privydns.yaml(5).\n"
    "#\n"
    "# To change one, remove the '#' before it (and before the line of its group). Durations are\n"
    "# written 500ms, 5s, 10m, 1h or 1d, sizes 64KiB or 32MiB; relative file names are relative "
    "to\n"
    "# this file. `privydnsd -t` checks it, `privydnsd -p` shows what is in effect. Files in\n"
    "# privydns.yaml.d/ are read after it. This text is made from the program's own tables.\n";

/* What a value looks like, where no bounds say it. */
static const char *looks(const struct schema_row *row, char out[VALUE_TEXT])
{
    static const char *const texts[] = {
        [TYPE_TEXT] = "text",
        [TYPE_PATH] = "file",
        [TYPE_TEXTS] = "list",
        [TYPE_ADDRS] = "list of ADDRESS[:53]",
        [TYPE_PREFIXES] = "list of addresses and prefixes",
        [TYPE_ZONES] = "list of names",
        [TYPE_POOLS] = "map of pools",
        [TYPE_UPSTREAMS] = "list of upstreams",
        [TYPE_ROUTES] = "list of routes",
    };
    if (row->words && row->type >= TYPE_TEXT) {
        struct schema_row words = {.type = TYPE_WORD, .words = row->words};
        return value_allowed(&words, out);
    }
    return row->type < TYPE_TEXT ? value_allowed(row, out) : texts[row->type];
}

/* "127.0.0.1:53,[::1]:53" as a YAML list. */
static void put_default_list(const char *text)
{
    printf("[");
    while (*text) {
        size_t length = strcspn(text, ",");
        printf("\"%.*s\"%s", (int)length, text, text[length] ? ", " : "");
        text += length + (text[length] == ',');
    }
    printf("]");
}

/* The default, or an example of what has none. */
static void put_value(const struct schema_row *row)
{
    char text[VALUE_TEXT];
    if (row->example)
        printf("%s", row->example);
    else if (schema_is_list(row))
        put_default_list(row->text ? row->text : "");
    else if (schema_is_text(row))
        printf("%s", row->text && row->text[0] ? row->text : "\"\"");
    else
        printf("%s", value_text(row, row->preset, text));
}

/* ---- yaml ---- */

enum { WIDTH = 98 };

/* A comment of words, broken into lines. */
static void put_prose(int indent, const char *text)
{
    int column = WIDTH + 1; /* nothing is written yet */
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column + 1 + length > WIDTH)
            column = printf("%s#%*s%s", column > WIDTH ? "" : "\n", indent, "", indent ? "#" : "") -
                     (column <= WIDTH);
        column += printf(" %.*s", length, text);
        text += length;
        text += strspn(text, " ");
    }
    printf("\n");
}

static void put_meaning(int indent, const struct schema_row *row)
{
    char out[VALUE_TEXT], prose[1024];
    snprintf(prose, sizeof prose, "%s (%s)%s", row->meaning, looks(row, out),
             row->later ? " -- not in this version" : "");
    put_prose(indent, prose);
}

static void put_key(int indent, const char *lead, const struct schema_row *row)
{
    const char *dot = strchr(row->path, '.');
    put_meaning(indent + (int)strlen(lead), row);
    printf("#%*s%s%s: ", indent, "", lead, dot ? dot + 1 : row->path);
    put_value(row);
    printf("\n");
}

static void put_pools(const struct schema_row *pools)
{
    put_meaning(0, pools);
    printf("#pools:\n#  default:\n");
    schema_each (row, &schema_pool) {
        if (row->type != TYPE_UPSTREAMS) {
            put_key(4, "", row);
            continue;
        }
        put_meaning(4, row);
        printf("#    upstreams:\n#      - tls://dns.example.net\n");
        schema_each (key, &schema_upstream) {
            bool first = key == schema_upstream.rows;
            put_key(first ? 6 : 8, first ? "- " : "", key);
        }
    }
}

static void put_routes(const struct schema_row *routes)
{
    put_meaning(0, routes);
    printf("#routes:\n");
    schema_each (row, &schema_route)
        put_key(row == schema_route.rows ? 2 : 4, row == schema_route.rows ? "- " : "", row);
}

static void print_yaml(void)
{
    const char *group = "";
    fputs(head, stdout);
    schema_each (row, &schema_top) {
        size_t length = strcspn(row->path, ".");
        bool grouped = row->path[length] == '.', same = !strncmp(group, row->path, length + 1);
        if (!grouped || !same)
            printf("\n");
        if (grouped && !same)
            printf("#%.*s:\n", (int)length, row->path);
        group = grouped ? row->path : "";
        if (row->type == TYPE_POOLS)
            put_pools(row);
        else if (row->type == TYPE_ROUTES)
            put_routes(row);
        else
            put_key(grouped ? 2 : 0, "", row);
    }
}

/* ---- man ---- */

/* One sentence for roff, its words in lines of at most 78. */
static void put_roff(const char *text)
{
    int column = 0;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column && column + 1 + length > 78) {
            printf("\n");
            column = 0;
        }
        column += printf("%s", column ? " " : strchr(".'", text[0]) ? "\\&" : "");
        for (int i = 0; i < length; i++)
            column += printf("%s%c", text[i] == '-' ? "\\" : "", text[i]);
        text += length;
        text += strspn(text, " ");
    }
    printf("\n");
}

/* "; default ...", or "". */
static void default_of(const struct schema_row *row, char *out, size_t capacity)
{
    char text[VALUE_TEXT];
    const char *value = row->text;
    if (row->type < TYPE_TEXT)
        value = value_text(row, row->preset, text);
    else if (row->text && row->example)
        value = "chosen at build time";
    else if (row->text && !row->text[0])
        value = "\"\"";
    snprintf(out, capacity, "%s%s", value ? "; default " : "", value ? value : "");
    for (char *c = out; *c && schema_is_list(row); c++)
        if (*c == ',')
            *c = ' ';
}

static void put_entry(const struct schema_row *row)
{
    char out[VALUE_TEXT], preset[VALUE_TEXT], sentence[1024];
    printf(".It Ic %s\n", row->path);
    snprintf(sentence, sizeof sentence, "%s.", row->meaning);
    sentence[0] = (char)toupper((unsigned char)sentence[0]);
    put_roff(sentence);
    default_of(row, preset, sizeof preset);
    snprintf(sentence, sizeof sentence, "Value: %s%s.", looks(row, out), preset);
    put_roff(sentence);
    if (row->later)
        put_roff("Not in this version.");
}

static void put_section(const struct schema_scope *scope, const char *heading)
{
    printf(".Ss %s\n.Bl -tag -width Ds\n", heading);
    schema_each (row, scope)
        put_entry(row);
    printf(".El\n");
}

static void print_man(void)
{
    put_section(&schema_top, "Keys of the file");
    put_section(&schema_pool, "Keys of a pool");
    put_section(&schema_upstream, "Keys of an upstream");
    put_section(&schema_route, "Keys of a route");
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "yaml"))
        print_yaml();
    else if (argc == 2 && !strcmp(argv[1], "man"))
        print_man();
    else
        return fputs("usage: privydns-gen yaml | man\n", stderr) < 0 ? 1 : 64;
    return 0;
}
