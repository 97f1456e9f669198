#include <turbotunnel/error.h>

#include "test.h"
#include "world.h"

static void test_bytes_go_both_ways_and_both_sides_end(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        size_t len;
        uint8_t byte;

        world_begin(&w, version);
        world_open(&w, &c, &s);
        write_pattern(c, 0, 200000);
        write_pattern(s, 7, 100000);
        world_settle(&w);
        read_pattern(s, 0, 200000);
        read_pattern(c, 7, 100000);
        assert_int_equal(tt_smux_read(s, &byte, 1, &len), TT_E_AGAIN);
        assert_int_equal(tt_smux_shutdown(c), TT_OK);
        world_settle(&w);
        assert_int_equal(tt_smux_read(s, &byte, 1, &len), TT_E_END);
        write_pattern(s, 0, 10);
        assert_int_equal(tt_smux_shutdown(s), TT_OK);
        world_settle(&w);
        read_pattern(c, 0, 10);
        assert_int_equal(tt_smux_read(c, &byte, 1, &len), TT_E_END);
        assert_true(events_of(c) & TT_SMUX_FINISHED);
        assert_true(events_of(s) & TT_SMUX_FINISHED);
        tt_smux_close(c);
        tt_smux_close(s);
        assert_int_equal(tt_map_count(&w.client.m.streams), 0);
        assert_int_equal(tt_map_count(&w.server.m.streams), 0);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_go_both_ways_and_both_sides_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
