/* options.h - the command line, and the same options in a file (--config). */
#ifndef TT_TUNNEL_OPTIONS_H
#define TT_TUNNEL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <turbotunnel/options.h>

#include "tunnel/allow.h"
#include "tunnel/forward.h"

enum tt_command {
    TT_COMMAND_NONE = 0, /* --help and --version alone */
    TT_COMMAND_SERVER = 1,
    TT_COMMAND_CLIENT = 2,
    TT_COMMAND_KEYGEN = 4,
    TT_COMMAND_PUBKEY = 8,
    TT_COMMAND_CHECK = 16,
};

#define TT_MOST_URLS     16
#define TT_MOST_FORWARDS 64

struct tt_tunnel_options {
    enum tt_command command;
    bool help, version, check_config;
    bool quiet, verbose, json_log;
    bool insecure;
    bool allow_core_dumps;
    const char *config;  /* a file, or NULL */
    const char *key;     /* a file, or NULL */
    bool has_server_key; /* client */
    uint8_t server_key[32];
    const char *authorized_clients; /* server: a file, or NULL */
    const char *urls[TT_MOST_URLS]; /* addresses as the library takes them */
    size_t url_count;
    struct tt_options library;

    uint32_t max_streams;       /* of a session; the library's own is never below */
    char metrics[TT_BIND_TEXT]; /* where to listen for whoever wants them, or "" */

    /* server */
    uint32_t max_sessions_per_client;
    const char *user;    /* to become once all is bound and read, or NULL */
    const char *forward; /* the fixed target, or NULL */
    struct tt_rules allow;
    struct tt_rules allow_remote;
    uint64_t drain_us;
    uint64_t connect_timeout_us;

    /* client */
    struct tt_forward forwards[TT_MOST_FORWARDS];
    size_t forward_count;
    struct tt_remote_forward remotes[TT_MOST_FORWARDS];
    size_t remote_count;
    bool stdio; /* with stdio_target */
    struct tt_target stdio_target;

    /* check */
    uint64_t check_bytes; /* each way */
    uint64_t check_us;    /* how long each step may take, and how old a connection shall become */

    char *config_text; /* owned: what the strings of the file point into */
};

#define TT_USAGE_TEXT 600

/* Reads argv, and the file that it names. The strings are borrowed from argv. Returns 0, or -1 with
 * one line in error. Dispose of it either way.
 */
int tt_tunnel_options_parse(struct tt_tunnel_options *o, int argc, char **argv,
                            char error[TT_USAGE_TEXT]);

void tt_tunnel_options_dispose(struct tt_tunnel_options *o);

void tt_tunnel_options_print_help(FILE *out, enum tt_command command);

#endif
