/* url.h - where carriers are: tcp://HOST:PORT, unix:PATH. */
#ifndef TT_TUNNEL_URL_H
#define TT_TUNNEL_URL_H

/* Gives the address as the library takes it, which points into url. Returns NULL, or why the URL is
 * no good (a static string).
 */
const char *tt_url_parse(const char *url, const char **address);

#endif
