/* A configuration that is accepted dumps to text that is accepted too, and dumps the same; one that
 * is refused says why. */
#include "config/config.h"

#include "base/status.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dump(const char *text, size_t length, size_t *ret_length)
{
    struct faults faults = {0};
    struct config *c = config_from_text(text, length, &faults);
    char *out = NULL;
    PV_BUG_IF(!c && !faults.count);
    FILE *stream = c ? open_memstream(&out, ret_length) : NULL;
    if (stream) {
        config_dump(c, stream);
        fclose(stream);
    }
    config_unref(c);
    faults_done(&faults);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = 0, again_length = 0;
    char *first = dump((const char *)data, size, &length);
    if (!first)
        return 0;
    char *second = dump(first, length, &again_length);
    PV_BUG_IF(!second || strcmp(first, second));
    free(first);
    free(second);
    return 0;
}
