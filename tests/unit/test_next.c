/* What follows from an outcome, and what outcome an answer is: two small tables. */
#include "unit.h"

#include "resolver/next.h"
#include "resolver/verify.h"
#include "wire/message.h"

static void what_follows(void **state)
{
    (void)state;
    static const struct {
        enum pv_outcome outcome;
        enum pv_step step;
        bool free;
        unsigned replays;
    } rows[] = {
        {PV_DIED_IDLE, PV_STEP_AGAIN_FRESH, true, 1},
        {PV_DIED_FRESH, PV_STEP_NEXT, false, 0},
        {PV_UNREACHABLE, PV_STEP_NEXT, true, 0},
        {PV_UNOPENED, PV_STEP_NEXT, true, 0},
        {PV_UNTRUSTED, PV_STEP_NEXT, true, 0},
        {PV_TLS_FAILED, PV_STEP_NEXT, true, 0},
        {PV_TIMED_OUT, PV_STEP_NEXT, false, 0},
        {PV_UNPROCESSED, PV_STEP_AGAIN, true, 2},
        {PV_LEFT_OUT, PV_STEP_AGAIN, true, 16},
        {PV_SERVER_FAILED, PV_STEP_NEXT, false, 0},
        {PV_BAD_ANSWER, PV_STEP_NEXT, false, 0},
        {PV_TRUNCATED, PV_STEP_AGAIN_STREAM, true, 0},
        {PV_NO_ROOM, PV_STEP_LATER, true, 0},
        {PV_GOOD, PV_STEP_FINISH, false, 0},
        {PV_SERVFAIL_OR_REFUSED, PV_STEP_ONE_ALIKE, false, 0},
        {PV_NOT_SERVED, PV_STEP_NEXT_ALIKE, false, 0},
        {PV_CUT, PV_STEP_ONE_ALIKE, false, 0},
    };
    assert_int_equal(sizeof rows / sizeof *rows, PV_OUTCOMES - 1); /* all but PV_PENDING */
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(pv_next(rows[i].outcome)->step, rows[i].step);
        assert_int_equal(pv_next(rows[i].outcome)->free, rows[i].free);
        assert_int_equal(pv_next(rows[i].outcome)->replays, rows[i].replays);
    }
}

static void what_it_is(void **state)
{
    (void)state;
    static const struct {
        struct pv_reply reply;
        enum pv_outcome outcome;
    } rows[] = {
        {{.rcode = PV_NOERROR}, PV_GOOD},
        {{.rcode = PV_NXDOMAIN}, PV_GOOD},
        {{.rcode = PV_NOERROR, .truncated = true}, PV_CUT},
        {{.rcode = PV_NXDOMAIN, .truncated = true}, PV_CUT},
        {{.rcode = PV_NOERROR, .lame = true}, PV_NOT_SERVED},
        {{.rcode = PV_SERVFAIL}, PV_SERVFAIL_OR_REFUSED},
        {{.rcode = PV_SERVFAIL, .truncated = true}, PV_SERVFAIL_OR_REFUSED},
        {{.rcode = PV_REFUSED}, PV_SERVFAIL_OR_REFUSED},
        {{.rcode = PV_FORMERR}, PV_NOT_SERVED},
        {{.rcode = PV_NOTIMP}, PV_NOT_SERVED},
        {{.rcode = PV_NOTAUTH}, PV_NOT_SERVED},
        {{.rcode = PV_BADVERS}, PV_NOT_SERVED},
        {{.rcode = 6}, PV_GOOD}, /* YXDOMAIN */
        {{.rcode = 23}, PV_GOOD},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(pv_verify(&rows[i].reply), rows[i].outcome);
}

/* What stands in the end: a cut answer rather than an error, an error of the name's servers rather
 * than one of the upstream. */
static void what_stands(void **state)
{
    (void)state;
    assert_true(pv_verify_worth(PV_CUT) > pv_verify_worth(PV_SERVFAIL_OR_REFUSED));
    assert_true(pv_verify_worth(PV_SERVFAIL_OR_REFUSED) > pv_verify_worth(PV_NOT_SERVED));
    assert_true(pv_verify_worth(PV_NOT_SERVED) > 0);
    for (enum pv_outcome o = PV_PENDING; o <= PV_GOOD; o++)
        assert_int_equal(pv_verify_worth(o), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_follows),
        cmocka_unit_test(what_it_is),
        cmocka_unit_test(what_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
