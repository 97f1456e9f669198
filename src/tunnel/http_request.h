/* http_request.h - what the beginning of an HTTP/1 connection asks for.
 *
 * A pure function over bytes: no sockets, no memory of its own.
 */
#ifndef TT_TUNNEL_HTTP_REQUEST_H
#define TT_TUNNEL_HTTP_REQUEST_H

#include <stddef.h>

#define TT_HTTP_REQUEST 8192u /* bytes at most, up to the empty line */

/* What is to be answered when path is all there is: 200, 400, 404, 405 or 431; 0: it is not whole
 * yet. What is behind the empty line changes nothing.
 */
int tt_http_judge(const char *request, size_t len, const char *path);

#endif
