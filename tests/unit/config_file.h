/* A directory with privydns.yaml, and what reading it says. Include unit.h first. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "config/config.h"
#include "config/flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64], file[96];

static inline void write_file(const char *name, const char *text)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static inline struct config *load(const struct options *more, struct faults *faults)
{
    struct options options = more ? *more : (struct options){0};
    options.config = file;
    return config_load(&options, NULL, faults);
}

/* Every fault as one text, with DIRECTORY/ taken out. */
static inline const char *faults_text(const struct faults *f, char *out, size_t capacity)
{
    char prefix[80], *found;
    size_t used = 0;
    snprintf(prefix, sizeof prefix, "%s/", directory);
    out[0] = '\0';
    for (size_t i = 0; i < f->count; i++) {
        used += (size_t)snprintf(out + used, capacity - used, "%s\n", f->items[i].text);
        assert_true(used < capacity);
    }
    while ((found = strstr(out, prefix)))
        memmove(found, found + strlen(prefix), strlen(found + strlen(prefix)) + 1);
    return out;
}

static inline void expect_with(const struct options *options, bool usable, const char *expected)
{
    char text[8192];
    struct faults faults = {0};
    struct config *c = load(options, &faults);
    assert_string_equal(faults_text(&faults, text, sizeof text), expected);
    assert_int_equal(c != NULL, usable);
    config_unref(c);
    faults_done(&faults);
}

static inline void expect_faults(const char *yaml, const char *expected)
{
    write_file("privydns.yaml", yaml);
    expect_with(NULL, false, expected);
}

static inline void expect_warnings(const char *yaml, const char *expected)
{
    write_file("privydns.yaml", yaml);
    expect_with(NULL, true, expected);
}

static inline struct config *must_load(const struct options *options)
{
    char text[8192];
    struct faults faults = {0};
    struct config *c = load(options, &faults);
    assert_string_equal(faults_text(&faults, text, sizeof text), "");
    assert_non_null(c);
    faults_done(&faults);
    return c;
}

static inline char *printed(const struct config *c, void (*print)(const struct config *, FILE *))
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    print(c, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static inline int set_up(void **state)
{
    extern char **environ;
    (void)state;
    environ = NULL; /* nothing of the machine's */
    strcpy(directory, "/tmp/test_config.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(file, sizeof file, "%s/privydns.yaml", directory);
    return 0;
}

static inline int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command);
}

#endif
