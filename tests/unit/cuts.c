#include "cuts.h"

#include <stdlib.h>
#include <string.h>

/* Ways of a short stream are bit masks: bit i set, a cut after byte i. Ways of a long one: first
 * the equal lengths, then the places of a single cut.
 */
static bool is_short(const struct cuts *c)
{
    return c->stream.len <= CUTS_ALL_BELOW;
}

static size_t ways(const struct cuts *c)
{
    if (c->stream.len == 0)
        return 1;
    return is_short(c) ? (size_t)1 << (c->stream.len - 1) : 2 * c->stream.len - 1;
}

static bool cut_after(const struct cuts *c, size_t byte)
{
    const size_t way = c->way - 1;
    if (is_short(c))
        return (way >> byte & 1) != 0;
    if (way < c->stream.len)
        return (byte + 1) % (way + 1) == 0;
    return byte == way - c->stream.len;
}

void cuts_init(struct cuts *c, struct tt_span stream)
{
    *c = (struct cuts){.stream = stream};
}

bool cuts_next_way(struct cuts *c)
{
    cuts_dispose(c);
    c->at = 0;
    return c->way++ < ways(c);
}

bool cuts_next_piece(struct cuts *c, struct tt_span *piece)
{
    cuts_dispose(c);
    if (c->at == c->stream.len)
        return false;
    size_t end = c->at;
    while (end + 1 < c->stream.len && !cut_after(c, end))
        end++;
    const size_t len = end + 1 - c->at;
    c->piece = malloc(len);
    if (!c->piece)
        abort();
    memcpy(c->piece, c->stream.ptr + c->at, len);
    c->at = end + 1;
    *piece = tt_span_of(c->piece, len);
    return true;
}

void cuts_dispose(struct cuts *c)
{
    free(c->piece);
    c->piece = NULL;
}
