/* session.h - what the client's and the server's sessions have in common, behind the public
 * functions. */
#ifndef TT_NET_SESSION_H
#define TT_NET_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/session.h>
#include <turbotunnel/stream.h>

#include "core/session/endpoint.h"
#include "core/session/sealed.h"
#include "net/worker.h"

struct tt_session {
    struct tt_loop *worker;
    struct tt_endpoint *endpoint;       /* NULL: closed, at a server */
    const struct tt_session_side *side; /* the client's or the server's half */
    struct tt_session_callbacks callbacks;
    void *callbacks_ctx;
    struct tt_list streams;        /* of struct tt_stream */
    struct tt_list accept_waiters; /* threads in tt_session_accept_stream */
    struct tt_list change_waiters; /* threads that wait for it to connect, settle or end */
    bool connected;                /* it ever had a connection */
    bool ended_told;               /* callbacks.ended was called, waiters were woken */
    bool closing;
    bool all_arrived; /* when it was closed, all that had been written was acknowledged */
    bool owns_loop;   /* the loop was made for it, and goes with it */
    uint64_t linger_us;
    uint64_t connections;
    uint64_t dials_failed;
    uint64_t last_delivery_us; /* 0: none yet */
    uint64_t longest_silence_us;
    struct tt_chore answer;    /* to send what waited for the program's next call (lead.h) */
    struct tt_error_text *why; /* it ended: owned; NULL: it has not, or there was no memory */
    char id_text[TT_SESSION_ID_TEXT];
};

/* What the two halves do differently. */
struct tt_session_side {
    /* Something was read, written or closed: it will be served at the end of the call or turn. */
    void (*touch)(struct tt_session *s, uint64_t now_us);
    /* The chore that serves it. */
    struct tt_chore *(*chore)(struct tt_session *s);
    /* The network has changed, or NULL. */
    void (*network_changed)(struct tt_session *s, uint64_t now_us);
    /* The application is done: free it, or leave it to linger on its own when may_wait is false. */
    int (*close)(struct tt_session *s, bool may_wait);
};

struct tt_stream {
    struct tt_session *session;
    struct tt_smux_stream *smux;
    struct tt_list_node node;                /* in session->streams */
    struct tt_list readers, writers;         /* threads that wait */
    uint64_t reader_left_us, writer_left_us; /* when one of them last stopped waiting (lead.h) */
    struct tt_stream_callbacks callbacks;
    void *callbacks_ctx;
    /* The stream goes, or its session has ended, without its bridge having asked for it; or NULL.
     */
    void (*gone)(struct tt_stream *st);
    void *user;
};

/* As tt_smux_peek; what has arrived is given out before the session's error is. */
int tt_stream_peek_spans(const struct tt_stream *st, struct tt_span *spans, size_t *count);

/* The options that either end may have got wrong. 0, or TT_E_INVAL and the reason in *why. */
int tt_session_check(const struct tt_options *o, bool sealed, struct tt_error_text *why);

/* What of the options concerns the core, at either end. */
void tt_session_tune(struct tt_endpoint_tuning *t, const struct tt_options *o);

void tt_session_init(struct tt_session *s, struct tt_loop *w, struct tt_endpoint *e,
                     const struct tt_session_side *side, uint64_t linger_us);

/* Reports what happened to its streams, and its end, if it has ended; flushes its carriers. */
void tt_session_serve(struct tt_session *s, uint64_t now_us);

/* Closes and frees the streams that the application left open. */
void tt_session_drop_streams(struct tt_session *s);

/* Frees what it owns, the streams excepted. */
void tt_session_dispose(struct tt_session *s);

/* Flushes all carriers of an endpoint. */
void tt_session_flush(struct tt_endpoint *e, uint64_t now_us);

void tt_session_touch(struct tt_session *s);

/* From now on serving it may call the program back. */
void tt_session_calls_back(struct tt_session *s);

/* What tt_session_close returns for a session that has ended: a peer that closed it as well has
 * taken nothing from us if all our data had arrived.
 */
int tt_session_end_result(const struct tt_session *s);

/* A wait that ends with an answer or with the session: TT_OK, or the error that ended it. */
int tt_session_error(const struct tt_session *s);

#endif
