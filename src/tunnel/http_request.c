#include "tunnel/http_request.h"

#include <stdbool.h>
#include <string.h>

/* Where it stands first, or NULL. */
static const char *find(const char *text, size_t len, const char *what)
{
    const size_t n = strlen(what);
    for (; len >= n; text++, len--)
        if (memcmp(text, what, n) == 0)
            return text;
    return NULL;
}

static bool is_path(const char *target, size_t len, const char *path)
{
    const char *query = memchr(target, '?', len);
    if (query)
        len = (size_t)(query - target);
    return len == strlen(path) && memcmp(target, path, len) == 0;
}

/* Of the first line: METHOD TARGET HTTP/1.N */
static int judge_line(const char *line, size_t len, const char *path)
{
    static const char get[] = "GET";
    static const char version[] = " HTTP/1.";
    const char *target = memchr(line, ' ', len);
    const size_t method_len = target ? (size_t)(target - line) : 0;
    if (method_len == 0)
        return 400;
    target++;
    const char *end = memchr(target, ' ', len - method_len - 1);
    if (!end || end == target || (size_t)(line + len - end) != sizeof version ||
        memcmp(end, version, sizeof version - 1) != 0)
        return 400;
    if (method_len != sizeof get - 1 || memcmp(line, get, sizeof get - 1) != 0)
        return 405;
    return is_path(target, (size_t)(end - target), path) ? 200 : 404;
}

int tt_http_judge(const char *request, size_t len, const char *path)
{
    if (!find(request, len < TT_HTTP_REQUEST ? len : TT_HTTP_REQUEST, "\r\n\r\n"))
        return len < TT_HTTP_REQUEST ? 0 : 431;
    return judge_line(request, (size_t)(find(request, len, "\r\n") - request), path);
}
