/* What can go wrong, and the bug trap. The public status codes live in <privydns/privydns.h>. */
#ifndef PV_BASE_STATUS_H
#define PV_BASE_STATUS_H

#include <privydns/privydns.h>

#include <stdio.h>
#include <stdlib.h>

/* Something that can only be a mistake of ours. Tests and fuzzers (PV_TRAP_BUGS) stop at once; a
 * release says it on the log and goes on: the machine's only resolver must not exit. Evaluates to
 * the condition, so that the caller can leave: if (PV_BUG_IF(...)) return; */
#ifdef PV_TRAP_BUGS
#    define PV_BUG_IF(cond) ((cond) ? (pv_bug(#    cond, __FILE__, __LINE__), abort(), true) : false)
#else
#    define PV_BUG_IF(cond) ((cond) ? (pv_bug(#    cond, __FILE__, __LINE__), true) : false)
#endif
void pv_bug(const char *what, const char *file, int line);

#define PV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Fill an error (NULL is allowed); returns status, so that a failure is one line. Attempts and
 * place (line, column) already in it are kept. */
enum privy_status pv_error(struct privy_error *reterr, enum privy_status status, const char *format,
                           ...) PV_PRINTF(3, 4);

/* The library's own log lines; they go to the callback of privy_log_set(). Never a queried name
 * above PRIVY_LOG_DEBUG. */
void pv_log(enum privy_log_level level, const char *format, ...) PV_PRINTF(2, 3);
bool pv_log_wants(enum privy_log_level level); /* cheap; ask before building a costly line */
#define pv_debug(...)                                                                              \
    (pv_log_wants(PRIVY_LOG_DEBUG) ? pv_log(PRIVY_LOG_DEBUG, __VA_ARGS__) : (void)0)

/* Copy text of foreign origin so that it is safe on one log line: printable ASCII stays, backslash
 * and all else becomes \DDD. Always NUL-terminates; returns the length written. */
size_t pv_escape(char *out, size_t capacity, const void *bytes, size_t length);

#endif
