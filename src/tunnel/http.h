/* http.h - as much of an HTTP/1.1 server as one page needs: GET of one path, then the connection
 * ends.
 *
 * Bounded: TT_HTTP_GUESTS connections, TT_HTTP_REQUEST bytes of a request, TT_HTTP_US for each. The
 * loop's thread only.
 */
#ifndef TT_TUNNEL_HTTP_H
#define TT_TUNNEL_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/list.h"
#include "net/door.h"
#include "tunnel/http_request.h"

#define TT_HTTP_GUESTS 16u
#define TT_HTTP_PAGE   65536u
#define TT_HTTP_US     (5 * TT_SECOND)

struct tt_http {
    struct tt_loop *worker;
    const char *path; /* borrowed; of the page */
    const char *type; /* borrowed; its media type */
    /* Writes the page, and returns its length, at most cap. */
    size_t (*page)(struct tt_http *http, char *text, size_t cap);
    struct tt_door door;
    struct tt_list guests;
    unsigned guest_count;
    uint64_t turned_away; /* connections beyond TT_HTTP_GUESTS */
};

/* The borrowed fields and page are set by the caller before. address: as the library takes it.
 * Returns as tt_door_bind.
 */
int tt_http_begin(struct tt_http *http, const char *address, struct tt_error_text *why);

/* Ends all. Any thread that has the lock, while the loop does not run, or its own. */
void tt_http_end(struct tt_http *http);

#endif
