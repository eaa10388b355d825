/* The log: syslog through our own socket, or stderr. Nothing here ever blocks: a line that cannot
 * be written at once waits in a bounded ring, and what does not fit there is counted and told
 * later. One log per process; any thread may write. */
#ifndef PRIVYDNSD_LOG_H
#define PRIVYDNSD_LOG_H

#include "config/config.h"

#define LOG_RING 1000 /* lines that wait at most */
#define LOG_LINE 1024 /* octets of a line's text, at most */

struct event_base;

struct log_options {
    enum config_target target;
    enum privy_log_level level;
    uint32_t facility;
    const char *socket; /* NULL: /dev/log */
};

/* Begin, or change to other options. Also takes the library's lines. */
void log_open(const struct log_options *);
/* Let this loop, of this thread, write what had to wait. Detach before the base is freed. */
bool log_attach(struct event_base *);
void log_detach(void);
/* Write what can be written at once, forget the rest. */
void log_close(void);

void log_write(enum privy_log_level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...)   log_write(PRIVY_LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(PRIVY_LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(PRIVY_LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(PRIVY_LOG_INFO, __VA_ARGS__)

uint64_t log_dropped(void); /* lines lost since the start */

#endif
