#include "tunnel/http_request.h"

#include <stdlib.h>

#include "test.h"

#define GET  "GET /metrics HTTP/1.1\r\n"
#define HOST "Host: h\r\n\r\n"

static const struct {
    const char *request;
    int status;
} rows[] = {
    {GET HOST, 200},
    {"GET /metrics HTTP/1.0\r\n\r\n", 200},
    {"GET /metrics?a=b HTTP/1.1\r\n" HOST, 200},
    {GET HOST "more", 200},
    {"GET / HTTP/1.1\r\n" HOST, 404},
    {"GET /metric HTTP/1.1\r\n" HOST, 404},
    {"GET /metricss HTTP/1.1\r\n" HOST, 404},
    {"GET http://h/metrics HTTP/1.1\r\n" HOST, 404},
    {"HEAD /metrics HTTP/1.1\r\n" HOST, 405},
    {"POST /metrics HTTP/1.1\r\n" HOST, 405},
    {"get /metrics HTTP/1.1\r\n" HOST, 405},
    {"GETT /metrics HTTP/1.1\r\n" HOST, 405},
    {"\r\n\r\n", 400},
    {"nonsense\r\n\r\n", 400},
    {"GET\r\n\r\n", 400},
    {"GET \r\n\r\n", 400},
    {"GET  HTTP/1.1\r\n\r\n", 400},
    {" /metrics HTTP/1.1\r\n\r\n", 400},
    {"GET /metrics\r\n\r\n", 400},
    {"GET /metrics HTTP/2.0\r\n\r\n", 400},
    {"GET /metrics HTTP/1.1 \r\n\r\n", 400},
    {"GET /metrics HTTP/1.11\r\n\r\n", 400},
    {"", 0},
    {GET, 0},
    {GET "Host: h\r\n", 0},
};

static void test_requests_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const int got = tt_http_judge(rows[i].request, strlen(rows[i].request), "/metrics");
        if (got != rows[i].status)
            fail_msg("'%s': %d", rows[i].request, got);
    }
}

/* Cut anywhere it is not whole yet; and not a byte behind the cut is looked at. */
static void test_a_request_is_waited_for(void **state)
{
    (void)state;
    static const char whole[] = GET HOST;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char *cut = malloc(len + 1);
        assert_non_null(cut);
        memcpy(cut, whole, len);
        assert_int_equal(tt_http_judge(cut, len, "/metrics"), 0);
        free(cut);
    }
}

static void test_a_request_without_an_end_is_refused(void **state)
{
    (void)state;
    static char much[TT_HTTP_REQUEST];
    memset(much, 'x', sizeof much);
    assert_int_equal(tt_http_judge(much, sizeof much - 1, "/metrics"), 0);
    assert_int_equal(tt_http_judge(much, sizeof much, "/metrics"), 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_judged),
        cmocka_unit_test(test_a_request_is_waited_for),
        cmocka_unit_test(test_a_request_without_an_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
