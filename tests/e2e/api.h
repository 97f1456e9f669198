/* api.h - what the tests of the public interface share. They see the library as a program does: its
 * public headers alone, real sockets, real threads.
 *
 * cmocka's assertions leave a test with longjmp, so only the main thread may use them. What runs in
 * other threads, or in callbacks, returns or stores a number, and the main thread asserts it.
 */
#ifndef TESTS_E2E_API_H
#define TESTS_E2E_API_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/turbotunnel.h>

#include "test.h" /* of tests/unit: cmocka */

#define KIB 1024u
#define MIB (1024u * 1024u)

/* What a function here says, beside TT_OK and TT_E_*, when the bytes are not the expected ones. */
#define API_WRONG_BYTES 1

/* A client's session and the same at its server, which is in the same process. */
struct api_pair {
    struct tt_listener *listener;
    struct tt_session *client, *server;
};

/* Options may be NULL. The first stream, which the server's session needs to begin, is closed
 * again by both. */
void api_open(struct api_pair *p, const struct tt_options *client, const struct tt_options *server);

/* Closes what is not NULL. Asserts that nothing written was left behind. */
void api_close(struct api_pair *p);

/* One more stream, opened by the client: both of its ends. */
void api_open_stream(struct api_pair *p, struct tt_stream **client, struct tt_stream **server);

/* Fills in the bytes of stream `seed` from `offset` on. */
void api_pattern(uint8_t *buf, size_t len, uint64_t offset, unsigned seed);

/* Writes so many bytes of the pattern, blocking. TT_OK or TT_E_*. */
int api_write(struct tt_stream *st, uint64_t len, unsigned seed);

/* Reads exactly so many and compares. TT_OK, TT_E_* or API_WRONG_BYTES. */
int api_read(struct tt_stream *st, uint64_t len, unsigned seed);

/* Reads on to the end, which must come at once: TT_E_END is the good answer. */
int api_read_end(struct tt_stream *st);

/* Sends back what comes until it ends, then ends too. TT_OK or TT_E_*. */
int api_echo(struct tt_stream *st);

/* A function on a thread of its own. */
struct api_thread {
    pthread_t thread;
    int (*run)(void *arg);
    void *arg;
    int result;
};

void api_start(struct api_thread *t, int (*run)(void *arg), void *arg);

/* Waits for it and returns what it returned. */
int api_join(struct api_thread *t);

/* For api_start: the above on a stream. */
struct api_job {
    struct tt_stream *stream;
    uint64_t len;
    unsigned seed;
};
int api_job_write(void *job);
int api_job_read(void *job);
int api_job_write_and_shut(void *job);
int api_job_read_to_end(void *job); /* len bytes, and then the end */
/* Tries again whenever there is no memory, which says something of the moment, not of the stream;
 * then shuts. */
int api_job_write_patiently(void *job);
int api_job_echo(void *job);

/* Asks again and again whether it holds. Fails the test when it never does. */
void api_wait_for(bool (*holds)(void *arg), void *arg);

/* --- listeners and their numbers --- */

/* On a port of its own. */
struct tt_listener *api_listen(const struct tt_options *options);

struct tt_listener_stats api_stats(struct tt_listener *listener);

/* Waits until a counter has reached so much. */
void api_wait_for_counter(struct tt_listener *listener, size_t offset, uint64_t least);
#define API_WAIT_FOR(listener, counter, least)                                                     \
    api_wait_for_counter(listener, offsetof(struct tt_listener_stats, counter), least)

/* A client that has something to say, so that it begins a session. */
struct tt_session *api_dial_and_speak(struct tt_listener *listener, const struct tt_options *o,
                                      struct tt_stream **st);

/* A TCP connection to "HOST:PORT" of IPv4. */
int api_connect(const char *address);
int api_try_to_connect(const char *address); /* or -1; no assertion: any thread */

/* Somebody who accepts connections, in the kernel, and never says a word. address: 64 bytes. */
int api_silent_listener(char *address);

#endif
