/* Replays what kcp-go did, step by step, and compares every byte that leaves.
 *
 * Time is the file's. A full flush is: what is due is done, then packets are pulled until there are
 * none. Where kcp-go flushed inside its input call, the file shows packets behind an input, and we
 * pull there too. Compared are all packets (K-19: but for ts and sn of WASK and WINS, which mean
 * nothing), all results, all data read, the deadline where the file's flush returned one, and of
 * the variables una, nxt, what waits and the congestion window.
 *
 * Where we differ by design the table `differences` says so, line by line, with what leaves instead
 * and why. Everything that it does not name is compared, also behind such a line. TT_FILE=NAME
 * replays that file alone.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "kcp/fixture.h"
#include "vector_file.h"

#define MAX_READ 65536u

static const struct difference {
    const char *file;
    unsigned line;    /* of the step: flush, input, repeatflush, next, state */
    const char *ours; /* what leaves there instead; next: our deadline; state: what differs */
} differences[] = {
    /* Section 8, rule 3 (K-30): with nothing new to send kcp-go sends again what one later ack has
     * overtaken, whatever `resend` says, and again at each such ack. The C original has no such
     * rule, and neither have we: with `resend` 0 a segment waits for its timeout. */
    {"kcp/kcp-early-resend.txt", 27, ""},
    {"kcp-current/kcp-early-resend.txt", 25, ""},
    {"kcp/kcp-cwnd-early-resend.txt", 48, ""},
    {"kcp/kcp-cwnd-early-resend.txt", 51, "cwnd ssthresh"},
    {"kcp-current/kcp-cwnd-early-resend.txt", 46, ""},
    {"kcp-current/kcp-cwnd-early-resend.txt", 51, "cwnd ssthresh"},
    {"kcp/kcp-una-advance.txt", 38, ""},
    {"kcp-current/kcp-una-advance.txt", 36, ""},
    {"kcp/kcp-sn-wrap.txt", 29, ""},
    /* What is lost is sent again in the order in which it had left, not by number: the
     * second copy of 0 stands behind 4 and 5. (kcp-go 5.6.72 sends 0 no second time before a
     * timeout; we do, as 5.6.1.) */
    {"kcp/kcp-fast-resend.txt", 63, "push 4 \"4\", push 5 \"5\", push 0 \"0\", push 8 \"8\""},
    {"kcp-current/kcp-fast-resend.txt", 61,
     "push 4 \"4\", push 5 \"5\", push 0 \"0\", push 8 \"8\""},
    /* The timeout is that of the path, by its present estimate; in kcp-go each segment keeps the
     * one of the time when it left, here still the first 200 ms. */
    {"kcp/kcp-early-resend.txt", 32, "1130000"},
    {"kcp-current/kcp-early-resend.txt", 32, "1130000"},
    {"kcp/kcp-una-advance.txt", 40, "1110000"},
    {"kcp-current/kcp-una-advance.txt", 40, "1110000"},
    {"kcp/kcp-fast-resend.txt", 45, "1131250"},
    {"kcp/kcp-fast-resend.txt", 55, "1133593"},
    {"kcp-current/kcp-fast-resend.txt", 45, "1131250"},
    {"kcp-current/kcp-fast-resend.txt", 55, "1133593"},
    /* The window starts at 1. kcp-go's starts at 0 and is 1 after a flush; its connections do one
     * before any data, so that no peer ever sees the difference. */
    {"kcp/kcp-push-cwnd0.txt", 16, "push 0 \"hello\""},
    {"kcp/kcp-push-cwnd0.txt", 18, "snd_nxt"},
    {"kcp/kcp-push-cwnd0.txt", 20, ""},
    /* Nothing is taken at or beyond the edge that was advertised, so that this bounds memory;
     * kcp-go counts its window from the next number, whatever is unread. A sender that obeys `wnd`
     * never notices. The room that reading makes is therefore told at once. */
    {"kcp/kcp-rcv-window.txt", 36, ""},
    {"kcp/kcp-rcv-window.txt", 43, "wins"},
    {"kcp/kcp-rcv-window.txt", 48, ""},
    /* A `una` beyond what was sent is ignored: no honest peer says that, and obeying it would lose
     * data. kcp-go takes all it has sent for acknowledged. */
    {"kcp/kcp-una-beyond.txt", 22, "snd_una waitsnd"},
    {"kcp/kcp-una-beyond.txt", 28, "snd_una waitsnd"},
    /* The first probe leaves after 0.5 s, as in kcp-go 5.6.72 (whose file is compared whole), not
     * after 7 s. */
    {"kcp/kcp-window-probe.txt", 21,
     "1500 ms: wask | 2300 ms: wask | 3500 ms: wask | 5200 ms: wask | 7800 ms: wask | "
     "11600 ms: wask | 17300 ms: wask | 25900 ms: wask | 38800 ms: wask | 58100 ms: wask | "
     "87000 ms: wask | 130300 ms: wask"},
};

struct replay {
    struct vector_file v;
    struct kcp_end end;
    struct tt_kcp_path path;
    struct tt_kcp_config config;
    unsigned preset_cwnd, preset_ssthresh;
    uint32_t preset_una, preset_nxt, preset_rcv;
    bool started;
    bool more;              /* v stands on a line that was not handled yet */
    int result;             /* of the last step, as the file writes it */
    uint8_t data[MAX_READ]; /* of the last recv */
    size_t data_len;
    unsigned outs; /* compared */
    unsigned used; /* differences */
};

static const struct difference *difference_at(const struct replay *r, unsigned line)
{
    for (size_t i = 0; i < ARRAY_LEN(differences); i++) {
        if (differences[i].line == line && strcmp(differences[i].file, r->v.name) == 0)
            return &differences[i];
    }
    return NULL;
}

static bool is(const struct replay *r, const char *key)
{
    return r->more && vector_key_is(&r->v, key);
}

static void next(struct replay *r)
{
    r->more = vector_file_next(&r->v);
}

/* --- configuration --- */

static uint32_t number(const struct replay *r)
{
    return (uint32_t)vector_number(&r->v);
}

static bool take_setting(struct replay *r)
{
    struct tt_kcp_config *c = &r->config;

    if (is(r, "trace"))
        return true;
    if (is(r, "conv"))
        c->conv = (uint32_t)strtoul(r->v.value, NULL, 16);
    else if (is(r, "mtu"))
        c->mtu = number(r);
    else if (is(r, "stream"))
        c->stream = number(r) != 0;
    else if (is(r, "nodelay"))
        c->nodelay = number(r) != 0;
    else if (is(r, "interval"))
        c->interval_ms = number(r);
    else if (is(r, "resend"))
        c->resend = number(r);
    else if (is(r, "nc"))
        c->nocwnd = number(r) != 0;
    else if (is(r, "sndwnd"))
        c->snd_wnd = number(r);
    else if (is(r, "rcvwnd"))
        c->rcv_wnd_first = c->rcv_wnd = number(r);
    else
        return false;
    return true;
}

static void take_preset(struct replay *r)
{
    const char *equals = strchr(r->v.value, '=');
    assert_non_null(equals);
    const uint32_t n = (uint32_t)strtoul(equals + 1, NULL, 10);
    if (strncmp(r->v.value, "cwnd=", 5) == 0)
        r->preset_cwnd = n;
    else if (strncmp(r->v.value, "ssthresh=", 9) == 0)
        r->preset_ssthresh = n;
    else if (strncmp(r->v.value, "snd_una=", 8) == 0)
        r->preset_una = n;
    else if (strncmp(r->v.value, "snd_nxt=", 8) == 0)
        r->preset_nxt = n;
    else if (strncmp(r->v.value, "rcv_nxt=", 8) == 0)
        r->preset_rcv = n;
    else
        fail_msg("%s:%u: unknown preset", r->v.name, r->v.line);
}

static void start(struct replay *r)
{
    end_open(&r->end, &r->config);
    struct tt_kcp_send *s = &r->end.kcp.send;
    struct tt_kcp_receive *in = &r->end.kcp.receive;
    if (r->preset_cwnd) {
        s->cwnd.segments = r->preset_cwnd;
        s->cwnd.bytes = r->preset_cwnd * s->mss;
        s->cwnd.threshold = r->preset_ssthresh;
    }
    end_open_path(&r->end, &r->path, false);
    assert_int_equal(r->preset_una, r->preset_nxt);
    s->una = s->nxt = s->end = r->preset_una;
    s->edge += r->preset_una;
    in->read = in->nxt = in->top = in->settled = r->preset_rcv;
    in->edge += r->preset_rcv;
    in->told_edge += r->preset_rcv;
    /* our window never shrinks, so a peer that begins with 0 must have begun with it. */
    if (strstr(r->v.name, "window-probe"))
        s->edge = 0;
    r->started = true;
}

/* --- what leaves --- */

/* K-6, and R-14: every header says the same, and what is true now. */
static void check_headers(const struct replay *r)
{
    struct tt_span left = tt_span_of(r->end.packet, r->end.packet_len);
    const struct tt_kcp_receive *in = &r->end.kcp.receive;
    while (left.len > 0) {
        const struct tt_kcp_header h = tt_kcp_header_read(left.ptr);
        assert_int_equal(h.conv, r->config.conv);
        assert_int_equal(h.una, in->nxt);
        assert_int_equal(h.wnd, in->read + in->window - in->nxt);
        if (h.cmd == TT_KCP_PUSH)
            assert_int_equal(h.ts, (uint32_t)(r->end.now_us / TT_MS));
        tt_span_skip(&left, TT_KCP_HEADER + h.len);
    }
}

static bool pull(struct replay *r)
{
    const int err = end_pull(&r->end, &r->path, r->config.mtu);
    assert_true(err == TT_OK || err == TT_E_AGAIN);
    if (err == TT_OK)
        check_headers(r);
    return err == TT_OK;
}

/* ts and sn of WASK and WINS, which a receiver ignores, as zeroes. */
static void mask_probes(uint8_t *packet, size_t len)
{
    while (len >= TT_KCP_HEADER) {
        const struct tt_kcp_header h = tt_kcp_header_read(packet);
        if (h.cmd == TT_KCP_WASK || h.cmd == TT_KCP_WINS)
            memset(packet + 8, 0, 8);
        packet += TT_KCP_HEADER + h.len;
        len -= TT_KCP_HEADER + h.len;
    }
}

static void compare_packet(struct replay *r, struct tt_span wanted)
{
    static uint8_t copy[END_PACKET];
    memcpy(copy, wanted.ptr, wanted.len);
    mask_probes(copy, wanted.len);
    mask_probes(r->end.packet, r->end.packet_len);
    if (wanted.len != r->end.packet_len || memcmp(copy, r->end.packet, wanted.len) != 0) {
        char ours[2048];
        snprintf(ours, sizeof(ours), "%s", end_text(&r->end));
        fail_msg("%s:%u: sent %s, not %s", r->v.name, r->v.line, ours,
                 end_text_of(&r->end, wanted));
    }
    r->outs++;
}

static void compare_text(struct replay *r, const struct difference *d, const char *got)
{
    if (strcmp(got, d->ours) != 0)
        fail_msg("%s:%u: sent \"%s\", not \"%s\"", d->file, d->line, got, d->ours);
    r->used++;
}

/* The packets that the file shows behind the step on `line`, or none. */
static void take_outs(struct replay *r, unsigned line)
{
    const struct difference *d = difference_at(r, line);
    if (d) {
        compare_text(r, d, end_flush(&r->end, &r->path));
        while (is(r, "out"))
            next(r);
        return;
    }
    for (; is(r, "out"); next(r)) {
        if (!pull(r))
            fail_msg("%s:%u: nothing sent", r->v.name, r->v.line);
        compare_packet(r, vector_bytes(&r->v));
    }
    if (pull(r))
        fail_msg("%s:%u: also sent %s", r->v.name, line, end_text(&r->end));
}

static void do_what_is_due(struct replay *r)
{
    struct tt_kcp *k = &r->end.kcp;
    if (tt_kcp_deadline(k) <= r->end.now_us) {
        tt_kcp_handle_timeout(k, r->end.now_us);
        assert_true(tt_kcp_deadline(k) > r->end.now_us);
    }
}

/* The delay that the full flush returned: the interval, or less when a timeout comes before. */
static void compare_next(struct replay *r)
{
    const struct difference *d = difference_at(r, r->v.line);
    const uint64_t at_us = r->end.now_us + (uint64_t)vector_number(&r->v) * TT_MS;
    const uint64_t deadline_us = tt_kcp_deadline(&r->end.kcp);
    const bool timeout = number(r) < r->config.interval_ms;
    if (d) {
        char text[32];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)deadline_us);
        compare_text(r, d, text);
    } else if (timeout ? deadline_us != at_us : deadline_us < at_us) {
        fail_msg("%s:%u: the deadline is %llu", r->v.name, r->v.line,
                 (unsigned long long)deadline_us);
    }
    next(r);
}

static void step_flush(struct replay *r)
{
    const unsigned line = r->v.line;
    assert_true(vector_value_is(&r->v, "full"));
    next(r);
    do_what_is_due(r);
    take_outs(r, line);
    if (is(r, "next"))
        compare_next(r);
}

/* --- repeated flushes --- */

static void flush_at(struct replay *r, uint64_t at_ms, const struct difference *d, char *text)
{
    char word[64];
    r->end.now_us = at_ms * TT_MS;
    do_what_is_due(r);
    while (pull(r)) {
        if (d) {
            snprintf(word, sizeof(word), "%s%llu ms: ", text[0] ? " | " : "",
                     (unsigned long long)at_ms);
            strcat(text, word);
            strcat(text, end_text(&r->end));
            continue;
        }
        char *hex = NULL;
        if (!is(r, "outat") || strtoull(r->v.value, &hex, 10) != at_ms)
            fail_msg("%s:%u: sent at %llu ms", r->v.name, r->v.line, (unsigned long long)at_ms);
        compare_packet(r, vector_bytes_of(&r->v, hex + 1));
        next(r);
    }
}

static void step_repeat(struct replay *r)
{
    static char text[END_TEXT];
    const struct difference *d = difference_at(r, r->v.line);
    char *end;
    const uint64_t from = strtoull(r->v.value, &end, 10);
    const uint64_t every = strtoull(end, &end, 10);
    const uint64_t to = strtoull(end, &end, 10);
    next(r);
    text[0] = '\0';
    for (uint64_t at = from + every; at <= to; at += every)
        flush_at(r, at, d, text);
    if (d)
        compare_text(r, d, text);
    for (; is(r, "outat"); next(r)) {
        if (!d)
            fail_msg("%s:%u: nothing sent", r->v.name, r->v.line);
    }
}

/* --- the other steps --- */

static void step_input(struct replay *r)
{
    const unsigned line = r->v.line;
    r->result = end_input(&r->end, vector_bytes(&r->v));
    next(r);
    if (is(r, "out"))
        take_outs(r, line);
}

static void step_receive(struct replay *r)
{
    const size_t cap = (size_t)vector_number(&r->v);
    assert_in_range(cap, 0, sizeof(r->data));
    r->result = tt_kcp_receive_message(&r->end.kcp, r->data, cap, &r->data_len);
    next(r);
    assert_true(is(r, "ret"));
    const int64_t wanted = vector_number(&r->v);
    const int err = wanted >= 0 ? TT_OK : wanted == -1 ? TT_E_AGAIN : TT_E_INVAL;
    if (r->result != err || (err == TT_OK && r->data_len != (size_t)wanted))
        fail_msg("%s:%u: %s, %zu bytes", r->v.name, r->v.line, tt_error_name(r->result),
                 r->data_len);
    next(r);
    if (is(r, "data")) {
        const struct tt_span data = vector_bytes(&r->v);
        assert_int_equal(data.len, r->data_len);
        assert_memory_equal(data.ptr, r->data, data.len);
        next(r);
    }
}

static void step_peek(struct replay *r)
{
    size_t size;
    const int err = tt_kcp_peek_message(&r->end.kcp, &size);
    next(r);
    assert_true(is(r, "ret"));
    if (vector_number(&r->v) < 0) {
        assert_int_equal(err, TT_E_AGAIN);
    } else {
        assert_int_equal(err, TT_OK);
        assert_int_equal(size, vector_number(&r->v));
    }
    next(r);
}

static void compare_result(struct replay *r)
{
    const bool refused = vector_number(&r->v) != 0;
    if (refused != (r->result != TT_OK))
        fail_msg("%s:%u: the result is %s", r->v.name, r->v.line, tt_error_name(r->result));
    next(r);
}

/* One variable; those that are none of ours are not compared: rmt_wnd (R-14: an edge instead),
 * rx_* (another smoothing), state (nobody looks at it, K-33). */
static bool same_variable(const struct replay *r, const char *name, uint32_t wanted)
{
    const struct tt_kcp_send *s = &r->end.kcp.send;
    if (strcmp(name, "snd_una") == 0)
        return s->una == wanted;
    if (strcmp(name, "snd_nxt") == 0)
        return s->nxt == wanted;
    if (strcmp(name, "rcv_nxt") == 0)
        return r->end.kcp.receive.nxt == wanted;
    if (strcmp(name, "waitsnd") == 0)
        return s->end - s->una == wanted;
    if (strcmp(name, "cwnd") == 0)
        return r->config.nocwnd || s->cwnd.segments == wanted;
    if (strcmp(name, "ssthresh") == 0)
        return r->config.nocwnd || s->cwnd.threshold == wanted;
    return true;
}

static void compare_state(struct replay *r)
{
    const struct difference *d = difference_at(r, r->v.line);
    const char *at = r->v.value;
    char differ[256] = "";
    while (*at) {
        char name[32];
        int used = 0;
        unsigned long wanted;
        assert_int_equal(sscanf(at, "%31[a-z_]=%lu %n", name, &wanted, &used), 2);
        if (!same_variable(r, name, (uint32_t)wanted)) {
            strcat(differ, differ[0] ? " " : "");
            strcat(differ, name);
        }
        at += used;
    }
    if (strcmp(differ, d ? d->ours : "") != 0)
        fail_msg("%s:%u: these differ: %s", r->v.name, r->v.line, differ);
    r->used += d != NULL;
    next(r);
}

static void step(struct replay *r)
{
    if (is(r, "at")) {
        r->end.now_us = (uint64_t)vector_number(&r->v) * TT_MS;
        next(r);
    } else if (is(r, "send")) {
        r->result = tt_kcp_send_message(&r->end.kcp, vector_bytes(&r->v));
        next(r);
    } else if (is(r, "ret")) {
        compare_result(r);
    } else if (is(r, "flush")) {
        step_flush(r);
    } else if (is(r, "repeatflush")) {
        step_repeat(r);
    } else if (is(r, "input")) {
        step_input(r);
    } else if (is(r, "recv")) {
        step_receive(r);
    } else if (is(r, "peek")) {
        step_peek(r);
    } else if (is(r, "state")) {
        compare_state(r);
    } else if (is(r, "acknodelay")) {
        next(r); /* when acks leave is the caller's business */
    } else {
        fail_msg("%s:%u: unknown key %s", r->v.name, r->v.line, r->v.key);
    }
}

static unsigned differences_of(const char *file)
{
    unsigned n = 0;
    for (size_t i = 0; i < ARRAY_LEN(differences); i++)
        n += strcmp(differences[i].file, file) == 0;
    return n;
}

static void replay(const char *file)
{
    struct replay *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    vector_file_open(&r->v, file);
    for (next(r); take_setting(r); next(r))
        ;
    for (; is(r, "preset"); next(r))
        take_preset(r);
    start(r);
    while (r->more)
        step(r);
    if (r->used != differences_of(file))
        fail_msg("%s: a line of the table was never reached", file);
    tt_kcp_path_close(&r->end.kcp, &r->path);
    end_close(&r->end);
    vector_file_close(&r->v);
    free(r);
}

/* Replays every file of a directory; returns how many there are. */
static unsigned replay_all(const char *directory)
{
    char name[512];
    unsigned count = 0;
    const char *only = getenv("TT_FILE");
    snprintf(name, sizeof(name), "%s/%s", getenv("TT_VECTORS"), directory);
    DIR *dir = opendir(name);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", directory, entry->d_name);
        if (!only || strcmp(only, name) == 0)
            replay(name);
        count++;
    }
    closedir(dir);
    return count;
}

static void test_the_bytes_are_those_of_kcp_go_5_6_1(void **state)
{
    (void)state;
    assert_int_equal(replay_all("kcp"), 33);
}

static void test_the_bytes_are_those_of_kcp_go_5_6_72(void **state)
{
    (void)state;
    assert_int_equal(replay_all("kcp-current"), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bytes_are_those_of_kcp_go_5_6_1),
        cmocka_unit_test(test_the_bytes_are_those_of_kcp_go_5_6_72),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
