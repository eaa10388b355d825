/* What is seen as the question is what stands in the message, and a query of it alone is fine. */
#include "base/status.h"
#include "wire/query.h"

static void question_is_what_stands_there(const struct pv_query_view *q, const uint8_t *data)
{
    uint8_t again[PV_HEADER + PV_NAME_MAX + 4];
    struct pv_writer w = pv_writer(again, sizeof again);
    struct pv_header h = {.id = q->header.id, .qdcount = 1};
    struct pv_query_view alone;
    PV_BUG_IF(q->question_bytes != data + PV_HEADER);
    PV_BUG_IF(q->question_length != q->question.name_length + 4u);
    PV_BUG_IF(!pv_name_equal(q->question_bytes, q->question.name, q->question.name_length));
    pv_header_write(&w, &h);
    pv_write(&w, q->question_bytes, q->question_length);
    pv_query_parse(&alone, again, pv_written(&w));
    PV_BUG_IF(alone.fault != PV_FINE || alone.edns.present);
    PV_BUG_IF(memcmp(&alone.question, &q->question, sizeof q->question) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pv_query_view q;
    pv_query_parse(&q, data, size);
    PV_BUG_IF((q.fault == PV_FINE) && q.header.qdcount != 1);
    if (q.question_length)
        question_is_what_stands_there(&q, data);
    else
        PV_BUG_IF(q.fault == PV_FINE || q.question.name_length);
    PV_BUG_IF(q.fault == PV_FAULT_RECORD && q.edns.present);
    struct pv_option option;
    while (pv_option_read(&q.edns.options, &option))
        ;
    PV_BUG_IF(q.fault == PV_FINE && q.edns.options.bad);
    return 0;
}
