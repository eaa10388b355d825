/* A configuration from all its sources: what is accepted, printed as a file and read again alone,
 * prints alike. The input is a file, then, each after a line that begins with "---- ", more parts:
 * "---- drop-in" another file, "---- environment" lines NAME=VALUE, "---- flags" lines "-l TEXT",
 * "-u TEXT", "-v". */
#include "config/config.h"
#include "config/flags.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/fuzz_sources.XXXXXX", file[64], drop_in[64];

static void remove_all(void)
{
    char path[64];
    unlink(drop_in);
    unlink(file);
    snprintf(path, sizeof path, "%s.d", file);
    rmdir(path);
    rmdir(directory);
}

static void make_directory(void)
{
    char path[64];
    if (file[0])
        return;
    PV_BUG_IF(!mkdtemp(directory));
    snprintf(file, sizeof file, "%s/x.yaml", directory);
    snprintf(path, sizeof path, "%s.d", file);
    snprintf(drop_in, sizeof drop_in, "%s/1.yaml", path);
    PV_BUG_IF(mkdir(path, 0700) != 0);
    atexit(remove_all);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    PV_BUG_IF(!f || fputs(text, f) < 0 || fclose(f) != 0);
}

static void set_variable(char *line)
{
    char *value = strchr(line, '=');
    if (!value || strncmp(line, "PRIVYDNS_", 9) != 0)
        return;
    *value++ = 0;
    setenv(line, value, 1);
}

static void set_flag(struct options *o, const char *line)
{
    if (strncmp(line, "-l ", 3) == 0 && o->listen_count < 8)
        o->listen[o->listen_count++] = line + 3;
    if (strncmp(line, "-u ", 3) == 0 && o->upstream_count < 8)
        o->upstreams[o->upstream_count++] = line + 3;
    o->verbose += strcmp(line, "-v") == 0;
}

/* Its first line says what it is. */
static void take_part(struct options *o, char *part)
{
    char *line = strsep(&part, "\n");
    bool environment = strcmp(line, "environment") == 0, flags = strcmp(line, "flags") == 0;
    if (part && strcmp(line, "drop-in") == 0)
        write_file(drop_in, part);
    while (part && (environment || flags)) {
        line = strsep(&part, "\n");
        if (environment)
            set_variable(line);
        else
            set_flag(o, line);
    }
}

static void forget_variables(void)
{
    extern char **environ;
    for (char **e = environ; *e;) {
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
        if (strncmp(name, "PRIVYDNS_", 9) == 0 && strlen(name) < sizeof name - 1 &&
            unsetenv(name) == 0)
            e = environ;
        else
            e++;
    }
}

/* What is read, printed; NULL: it is refused. */
static char *load(const struct options *o, void (*printer)(const struct config *, FILE *))
{
    struct faults faults = {0};
    struct config *c = config_load(o, NULL, &faults);
    char *text = NULL;
    size_t length;
    PV_BUG_IF(!c && !faults.errors);
    FILE *stream = c ? open_memstream(&text, &length) : NULL;
    if (stream) {
        printer(c, stream);
        fclose(stream);
    }
    config_unref(c);
    faults_done(&faults);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[4096], *rest = text;
    if (size >= sizeof text || memmem(data, size, "client_", 7)) /* opens nothing else */
        return 0;
    make_directory();
    struct options o = {.config = file}, alone = {.config = file};
    memcpy(text, data, size);
    text[size] = 0;
    for (char *next; rest; rest = next) {
        next = strstr(rest, "\n---- ");
        if (next) {
            next[1] = 0;
            next += 6;
        }
        if (rest == text)
            write_file(file, rest);
        else
            take_part(&o, rest);
    }
    char *printed = load(&o, config_print), *dumped = printed ? load(&o, config_dump) : NULL;
    forget_variables();
    write_file(drop_in, "");
    if (printed) {
        write_file(file, printed);
        char *again = load(&alone, config_dump);
        PV_BUG_IF(!dumped || !again || strcmp(dumped, again) != 0);
        free(again);
    }
    free(printed);
    free(dumped);
    return 0;
}
