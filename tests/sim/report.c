#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static uint64_t seed, digest;
static bool verbose;
static const char *expected;
static const uint64_t *now;

void report_begin(uint64_t of_seed, bool is_verbose, const char *expected_text,
                  const uint64_t *now_us)
{
    seed = of_seed;
    digest = of_seed;
    verbose = is_verbose;
    expected = expected_text;
    now = now_us;
}

bool report_verbose(void)
{
    return verbose;
}

void report_trace(const char *format, ...)
{
    char line[400];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    printf("%11.6f %s\n", (double)*now / 1e6, line);
}

void report_mix(uint64_t v)
{
    digest = (digest ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    digest ^= digest >> 29;
}

uint64_t report_digest(void)
{
    return digest;
}

void broken(const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (verbose)
        report_trace("BROKEN: %s", what);
    printf("sim: seed %" PRIu64 ": %s; replay: ./dev sim --seed %" PRIu64 "\n", seed, what, seed);
    fflush(stdout);
    _Exit(expected && strstr(what, expected) ? REPORT_EXPECTED : REPORT_BROKEN);
}
