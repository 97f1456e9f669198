/* The vectors: scripted sessions of Go programs, replayed by ours, byte for byte; and what a Go
 * server makes of abnormal frames.
 */
#include <stdio.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "test.h"
#include "vector_file.h"
#include "world.h"

/* --- scripted sessions --- */

/* The streams of the script, at both ends. */
struct script {
    struct world w;
    struct tt_smux_stream *client_first, *client_second, *client_other;
    struct tt_smux_stream *server_first, *server_second, *server_own;
};

static void write_text(struct tt_smux_stream *s, const char *text)
{
    size_t taken;
    assert_int_equal(tt_smux_write(s, text, strlen(text), &taken), TT_OK);
    assert_int_equal(taken, strlen(text));
}

static void read_text(struct tt_smux_stream *s, const char *text)
{
    char buf[16];
    size_t len;
    assert_int_equal(tt_smux_read(s, buf, strlen(text), &len), TT_OK);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(buf, text, len);
}

static void read_end(struct tt_smux_stream *s)
{
    char buf[16];
    size_t len;
    assert_int_equal(tt_smux_read(s, buf, sizeof(buf), &len), TT_E_END);
}

static void open_first(struct script *s)
{
    assert_int_equal(tt_smux_open(&s->w.client.m, &s->client_first), TT_OK);
}

static void write_hello(struct script *s)
{
    write_text(s->client_first, "hello");
}

static void read_hello(struct script *s)
{
    assert_int_equal(tt_smux_accept(&s->w.server.m, &s->server_first), TT_OK);
    read_text(s->server_first, "hello");
}

static void write_hello_back(struct script *s)
{
    write_text(s->server_first, "HELLO-BACK");
}

static void read_4(struct script *s)
{
    read_text(s->client_first, "HELL");
}

static void read_6(struct script *s)
{
    read_text(s->client_first, "O-BACK");
}

static void open_second(struct script *s)
{
    assert_int_equal(tt_smux_open(&s->w.client.m, &s->client_second), TT_OK);
}

static void server_opens(struct script *s)
{
    assert_int_equal(tt_smux_accept(&s->w.server.m, &s->server_second), TT_OK);
    assert_int_equal(tt_smux_open(&s->w.server.m, &s->server_own), TT_OK);
}

static void server_writes_x(struct script *s)
{
    assert_int_equal(tt_smux_accept(&s->w.client.m, &s->client_other), TT_OK);
    write_text(s->server_own, "x");
}

static void client_closes_first(struct script *s)
{
    tt_smux_close(s->client_first);
}

static void server_writes_abc(struct script *s)
{
    write_text(s->server_first, "abc");
}

static void server_closes_first(struct script *s)
{
    read_end(s->server_first);
    tt_smux_close(s->server_first);
}

static void write_nothing(struct script *s)
{
    write_text(s->client_second, "");
}

static void write_40000(struct script *s)
{
    char m[40000];
    size_t taken;
    memset(m, 'm', sizeof(m));
    assert_int_equal(tt_smux_write(s->client_second, m, sizeof(m), &taken), TT_OK);
    assert_int_equal(taken, sizeof(m));
}

/* Frames are made when they can leave: to be sent 10000 bytes early, the UPD must be taken early.
 */
static void read_40000(struct script *s)
{
    char m[10000];
    size_t len;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tt_smux_read(s->server_second, m, sizeof(m), &len), TT_OK);
        assert_int_equal(len, sizeof(m));
        world_send(&s->w, &s->w.server, SIZE_MAX);
    }
}

static void close_all(struct script *s)
{
    tt_smux_close(s->client_second);
    tt_smux_close(s->client_other);
    tt_smux_close(s->server_second);
    tt_smux_close(s->server_own);
}

static void nothing(struct script *s)
{
    (void)s;
}

static void quarter_second(struct script *s)
{
    s->w.now_us += 250 * TT_MS;
    assert_int_equal(tt_smux_handle_timeout(&s->w.client.m, s->w.now_us), TT_OK);
    assert_int_equal(tt_smux_handle_timeout(&s->w.server.m, s->w.now_us), TT_OK);
}

static const struct {
    const char *text;
    void (*act)(struct script *s);
} steps[] = {
    {"client opens its first stream", open_first},
    {"client writes hello", write_hello},
    {"server reads 5 of 5 bytes", read_hello},
    {"server writes HELLO-BACK", write_hello_back},
    {"client reads 4 bytes", read_4},
    {"client reads the other 6 bytes", read_6},
    {"client opens its second stream", open_second},
    {"server opens its first stream", server_opens},
    {"server writes x on its own stream", server_writes_x},
    {"client closes its first stream", client_closes_first},
    {"server writes 3 bytes on the stream the client closed; the client discards them",
     server_writes_abc},
    {"server reads end of stream, closes too", server_closes_first},
    {"empty write produces no frame", write_nothing},
    {"client writes 40000 bytes of 'm' on its second stream (frame limit 32768)", write_40000},
    {"server reads 40000 bytes in 10000-byte reads", read_40000},
    {"everything closed", close_all},
    {"client closes the session: no frame at all, the connection is closed", nothing},
    {"both sides idle for 250 ms: one NOP each, never answered", quarter_second},
};

static void act(struct script *s, const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (strcmp(steps[i].text, text) == 0) {
            steps[i].act(s);
            return;
        }
    }
    fail_msg("a step that this test does not know: %s", text);
}

/* What e sends now must begin with these bytes; the rest stays for the next line. */
static void expect(struct script *s, struct end *e, struct tt_span bytes, unsigned line)
{
    world_send(&s->w, e, SIZE_MAX);
    if (e->wire_len < bytes.len || memcmp(e->wire, bytes.ptr, bytes.len) != 0)
        fail_msg("line %u: ours sends %s", line, wire_text(e));
    assert_int_equal(world_deliver(&s->w, e, bytes.len, SIZE_MAX), TT_OK);
}

/* Nothing but what the vector says was sent. */
static void expect_nothing_more(struct script *s, unsigned line)
{
    struct end *const ends[] = {&s->w.client, &s->w.server};
    for (size_t i = 0; i < 2; i++) {
        world_send(&s->w, ends[i], SIZE_MAX);
        if (ends[i]->wire_len > 0)
            fail_msg("before line %u: ours sends also %s", line, wire_text(ends[i]));
    }
}

static void replay(const char *file, uint8_t version, uint64_t interval_us)
{
    struct script s = {.client_first = NULL};
    struct vector_file v;
    struct tt_smux_config client = world_config(true, version),
                          server = world_config(false, version);

    client.keepalive_interval_us = server.keepalive_interval_us = interval_us;
    client.keepalive_timeout_us = server.keepalive_timeout_us = 3 * interval_us;
    world_begin_with(&s.w, client, server);
    vector_file_open(&v, file);
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "version"))
            assert_int_equal(vector_number(&v), version);
        if (vector_key_is(&v, "step")) {
            expect_nothing_more(&s, v.line);
            act(&s, v.value);
        } else if (vector_key_is(&v, "c2s")) {
            expect(&s, &s.w.client, vector_bytes(&v), v.line);
        } else if (vector_key_is(&v, "s2c")) {
            expect(&s, &s.w.server, vector_bytes(&v), v.line);
        }
    }
    expect_nothing_more(&s, v.line);
    assert_int_equal(s.w.client.m.streams.count, 0);
    assert_int_equal(s.w.server.m.streams.count, 0);
    vector_file_close(&v);
    world_end(&s.w);
}

/* S-1 to S-8, S-19, S-25 to S-27, S-30 */
static void test_our_sessions_send_what_the_go_sessions_sent(void **state)
{
    (void)state;
    replay("smux/smux-v1-session.txt", 1, 0);
    replay("smux/smux-v2-session.txt", 2, 0);
}

/* S-4, S-31 */
static void test_our_idle_sessions_send_what_the_go_sessions_sent(void **state)
{
    (void)state;
    replay("smux/smux-v1-keepalive.txt", 1, 200 * TT_MS);
    replay("smux/smux-v2-keepalive.txt", 2, 200 * TT_MS);
}

/* --- abnormal frames --- */

/* What our server accepts, as the vectors say it: numbers, or at the end "protoerror". */
static void accepts(struct world *w, int err, char *text, size_t cap)
{
    struct tt_smux_stream *s;
    size_t n = 0;

    text[0] = '\0';
    while (tt_smux_accept(&w->server.m, &s) == TT_OK)
        n += (size_t)snprintf(text + n, cap - n, "%s%u", n ? " " : "",
                              (unsigned)tt_smux_stream_id(s));
    if (err)
        snprintf(text + n, cap - n, "%sprotoerror", n ? " " : "");
}

/* One case of a file; true when ours accepts what the file says. */
static bool replay_case(struct vector_file *v, uint8_t version, struct tt_span feed)
{
    struct world w;
    char text[64];

    world_begin(&w, version);
    int err = world_feed(&w, &w.server, feed);
    if (!err)
        err = world_feed(&w, &w.server, make_frame(version, 0, 0, 11));
    assert_true(err == TT_OK || err == TT_E_PROTO || err == TT_E_VERSION);
    accepts(&w, err, text, sizeof(text));
    assert_int_equal(world_send(&w, &w.server, SIZE_MAX), 0); /* "writesback" is empty in all */
    world_end(&w);
    return vector_value_is(v, text);
}

/* Returns how many cases there were; differ: those in which ours differs, by name, NULL at the end.
 */
static size_t replay_cases(const char *file, uint8_t version, const char *const differ[])
{
    struct vector_file v;
    struct tt_span feed = {NULL, 0};
    const char *name = "";
    size_t cases = 0;

    vector_file_open(&v, file);
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "case"))
            name = v.value;
        if (vector_key_is(&v, "feed"))
            feed = vector_bytes(&v);
        if (vector_key_is(&v, "writesback"))
            assert_string_equal(v.value, "");
        if (!vector_key_is(&v, "accepts"))
            continue;
        bool same = true;
        for (const char *const *d = differ; *d; d++)
            same = same && strcmp(*d, name) != 0;
        if (replay_case(&v, version, feed) != same)
            fail_msg("%s: %s", file, name);
        cases++;
    }
    vector_file_close(&v);
    return cases;
}

/* S-11 to S-17 */
static void test_abnormal_frames_are_taken_as_current_smux_takes_them(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    assert_int_equal(replay_cases("smux-current/smux-v1-abnormal.txt", 1, none), 16);
    assert_int_equal(replay_cases("smux-current/smux-v2-abnormal.txt", 2, none), 16);
}

/* S-17: S1516 does not look at the length of frames that have none, and goes on inside the payload.
 * Ours ends the session, as current smux does: no sender has a reason for such frames.
 */
static void test_abnormal_frames_are_taken_more_strictly_than_by_smux_1_5_16(void **state)
{
    (void)state;
    static const char *const differ_v1[] = {"SYN with length 8, payload looks like SYN 5",
                                            "FIN with length 8, payload looks like SYN 5",
                                            "NOP with length 8, payload looks like SYN 5",
                                            "UPD of length 8 for an unknown sid",
                                            "UPD of length 0 followed by 8 bytes",
                                            NULL};
    static const char *const differ_v2[] = {"SYN with length 8, payload looks like SYN 5",
                                            "FIN with length 8, payload looks like SYN 5",
                                            "NOP with length 8, payload looks like SYN 5",
                                            "UPD of length 0 followed by 8 bytes", NULL};
    assert_int_equal(replay_cases("smux/smux-v1-abnormal.txt", 1, differ_v1), 16);
    assert_int_equal(replay_cases("smux/smux-v2-abnormal.txt", 2, differ_v2), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_our_sessions_send_what_the_go_sessions_sent),
        cmocka_unit_test(test_our_idle_sessions_send_what_the_go_sessions_sent),
        cmocka_unit_test(test_abnormal_frames_are_taken_as_current_smux_takes_them),
        cmocka_unit_test(test_abnormal_frames_are_taken_more_strictly_than_by_smux_1_5_16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
