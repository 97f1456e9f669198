#include "decoding.h"

#include <stdio.h>
#include <stdlib.h>

#include <turbotunnel/error.h>

#include "cuts.h"
#include "failing_alloc.h"
#include "test.h"
#include "vector_file.h"

static int plain_init(struct decoder *d, size_t max_packet, const struct tt_alloc *alloc)
{
    return tt_decap_init(&d->as.plain, max_packet, alloc);
}

static int plain_next(struct decoder *d, struct tt_span *in, struct tt_span *packet)
{
    return tt_decap_next(&d->as.plain, in, packet);
}

static int plain_end(const struct decoder *d)
{
    return tt_decap_end(&d->as.plain);
}

static void plain_dispose(struct decoder *d)
{
    tt_decap_dispose(&d->as.plain);
}

const struct decoder_ops plain_decoder = {plain_init, plain_next, plain_end, plain_dispose};

static int padded_init(struct decoder *d, size_t max_packet, const struct tt_alloc *alloc)
{
    return tt_padded_decap_init(&d->as.padded, max_packet, alloc);
}

static int padded_next(struct decoder *d, struct tt_span *in, struct tt_span *packet)
{
    return tt_padded_decap_next(&d->as.padded, in, packet);
}

static int padded_end(const struct decoder *d)
{
    return tt_padded_decap_end(&d->as.padded);
}

static void padded_dispose(struct decoder *d)
{
    tt_padded_decap_dispose(&d->as.padded);
}

const struct decoder_ops padded_decoder = {padded_init, padded_next, padded_end, padded_dispose};

static void put_text(struct decoding_output *out, const char *text)
{
    const size_t n = strlen(text);
    if (out->len + n >= sizeof(out->text))
        fail_msg("more output than struct decoding_output holds");
    memcpy(out->text + out->len, text, n + 1);
    out->len += n;
}

void decoding_output_packet(struct decoding_output *out, struct tt_span packet)
{
    for (size_t i = 0; i < packet.len; i++) {
        const uint8_t c = packet.ptr[i];
        const bool plain = c > ' ' && c < 0x7f && c != '|' && c != '\\';
        char text[5];
        snprintf(text, sizeof(text), plain ? "%c" : "\\x%02x", c);
        put_text(out, text);
    }
    put_text(out, "|");
}

static void start(struct decoder *d, const struct decoder_ops *ops, size_t max_packet,
                  const struct tt_alloc *alloc)
{
    memset(d, 0, sizeof(*d));
    d->ops = ops;
    assert_int_equal(ops->init(d, max_packet, alloc), TT_OK);
}

/* One way of cutting: all that comes out, and how it ends. */
static int decode(struct decoder *d, struct cuts *cuts, const struct failing_alloc *memory,
                  struct decoding_output *out)
{
    struct tt_span in;
    struct tt_span packet;
    while (cuts_next_piece(cuts, &in)) {
        int err;
        while ((err = d->ops->next(d, &in, &packet)) == TT_OK)
            decoding_output_packet(out, packet);
        if (tt_is_fatal(err))
            return err;
        assert_int_equal(err, TT_E_AGAIN);
        assert_int_equal(in.len, 0);
        if (d->ops->end(d) == TT_OK)
            assert_int_equal(memory->live, 0);
    }
    return d->ops->end(d);
}

void check_decoding(const struct decoder_ops *ops, size_t max_packet, const struct decoding_case *c)
{
    struct cuts cuts;
    for (cuts_init(&cuts, tt_span_of(c->wire, c->len)); cuts_next_way(&cuts);) {
        struct failing_alloc memory;
        struct decoding_output out = {.len = 0};
        struct decoder d;
        failing_alloc_init(&memory, FAIL_NEVER);
        start(&d, ops, max_packet, &memory.alloc);
        const int end = decode(&d, &cuts, &memory, &out);
        if (strcmp(out.text, c->packets) != 0 || end != c->end)
            fail_msg("%s, cut in way %zu: got \"%s\" and %s", c->name, cuts.way, out.text,
                     tt_error_name(end));
        ops->dispose(&d);
        ops->dispose(&d);
        assert_int_equal(memory.live, 0);
    }
}

void check_decoding_without_memory(const struct decoder_ops *ops, size_t max_packet,
                                   const struct decoding_case *c)
{
    struct failing_alloc memory = {.refused = true};
    for (size_t n = 0; memory.refused; n++) {
        struct cuts cuts;
        struct decoding_output out = {.len = 0};
        struct decoder d;
        /* Of a short stream the last way is the one that cuts everywhere, of a long one the first.
         */
        cuts_init(&cuts, tt_span_of(c->wire, c->len));
        if (c->len > 0 && c->len <= CUTS_ALL_BELOW)
            cuts.way = ((size_t)1 << (c->len - 1)) - 1;
        assert_true(cuts_next_way(&cuts));
        failing_alloc_init(&memory, n);
        start(&d, ops, max_packet, &memory.alloc);
        const int end = decode(&d, &cuts, &memory, &out);
        const int expected = memory.refused ? TT_E_NOMEM : c->end;
        if (strncmp(out.text, c->packets, out.len) != 0 || end != expected)
            fail_msg("%s, allocation %zu refused: got \"%s\" and %s", c->name, n, out.text,
                     tt_error_name(end));
        ops->dispose(&d);
        cuts_dispose(&cuts);
        assert_int_equal(memory.live, 0);
    }
}

static int end_of_vector(const struct vector_file *v)
{
    static const struct {
        const char *word;
        int end;
    } ends[] = {{"eof", TT_OK}, {"short", TT_E_TRUNCATED}, {"toolong", TT_E_TOO_LONG}};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (vector_value_is(v, ends[i].word))
            return ends[i].end;
    fail_msg("%s:%u: no such end: %s", v->name, v->line, v->value);
    return TT_E_INVAL;
}

void check_decoding_vectors(const struct decoder_ops *ops, size_t max_packet, const char *file,
                            size_t count)
{
    struct vector_file v;
    struct decoding_output packets = {.len = 0};
    struct decoding_case c = {.name = NULL};
    size_t cases = 0;

    vector_file_open(&v, file);
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "case")) {
            packets = (struct decoding_output){.len = 0};
            c = (struct decoding_case){.name = v.value, .packets = packets.text};
        } else if (vector_key_is(&v, "stream")) {
            const struct tt_span wire = vector_bytes(&v);
            c.wire = wire.ptr;
            c.len = wire.len;
        } else if (vector_key_is(&v, "packet")) {
            decoding_output_packet(&packets, vector_bytes(&v));
        } else if (vector_key_is(&v, "end")) {
            c.end = end_of_vector(&v);
            check_decoding(ops, max_packet, &c);
            check_decoding_without_memory(ops, max_packet, &c);
            cases++;
        }
    }
    vector_file_close(&v);
    assert_int_equal(cases, count);
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Feeds one byte that must not complete the packet. */
static void feed_byte(struct decoder *d, uint8_t byte)
{
    struct tt_span in = tt_span_of(&byte, 1);
    struct tt_span packet;
    assert_int_equal(d->ops->next(d, &in, &packet), TT_E_AGAIN);
}

void check_memory_grows_with_what_came(const struct decoder_ops *ops, struct tt_span header,
                                       size_t want)
{
    struct failing_alloc memory;
    struct decoder d;
    failing_alloc_init(&memory, FAIL_NEVER);
    start(&d, ops, want, &memory.alloc);
    for (size_t i = 0; i < header.len; i++)
        feed_byte(&d, header.ptr[i]);
    assert_int_equal(memory.live, 0);
    for (size_t came = 1; came < want; came++) {
        feed_byte(&d, (uint8_t)((came - 1) % 251));
        assert_in_range(memory.live_bytes, came, max_size(2 * came, TT_PACKET_BODY_FIRST));
        assert_in_range(memory.live_bytes, 1, want);
    }
    const uint8_t last = (uint8_t)((want - 1) % 251);
    struct tt_span in = tt_span_of(&last, 1);
    struct tt_span packet;
    assert_int_equal(ops->next(&d, &in, &packet), TT_OK);
    assert_int_equal(packet.len, want);
    for (size_t i = 0; i < want; i++)
        if (packet.ptr[i] != i % 251)
            fail_msg("byte %zu of %zu is %u", i, want, packet.ptr[i]);
    assert_int_equal(ops->next(&d, &in, &packet), TT_E_AGAIN);
    assert_int_equal(memory.live, 0);
    ops->dispose(&d);
}
