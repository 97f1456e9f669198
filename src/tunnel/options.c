#include "tunnel/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "net/address.h"
#include "tunnel/keys.h"
#include "tunnel/service.h"
#include "tunnel/url.h"

#define ANY         (TT_COMMAND_SERVER | TT_COMMAND_CLIENT)
#define DIALS       (TT_COMMAND_CLIENT | TT_COMMAND_CHECK)
#define ALL         (TT_COMMAND_SERVER | DIALS)
#define MAX_STREAMS 4096u
#define PROBE_MOST  (16u << 20) /* what a server answers: TT_PROBE_MOST */
#define MAX_SECONDS 1e9
#define CONFIG_MOST (1u << 20) /* bytes of a configuration file */

/* Sets one field from its text. Returns NULL, or why the text is no good (a static string). */
typedef const char *set_option(struct tt_tunnel_options *o, const char *text);

enum value_type {
    FLAG,
    TEXT,
    SECONDS, /* into microseconds */
    COUNT,   /* uint32_t */
    BYTES,   /* uint64_t, with a suffix */
    SIZE,    /* size_t, with a suffix */
    SETTER,
};

/* In the order in which a row of the table is read. */
struct option_spec {     /* NOLINT(clang-analyzer-optin.performance.Padding) */
    char letter;         /* of the short form, or 0 */
    const char *name;    /* of the long form */
    const char *operand; /* what --help calls its value, or NULL if it has none */
    unsigned commands;   /* which have it */
    enum value_type type;
    size_t offset;   /* of the field; not with SETTER */
    set_option *set; /* with SETTER */
    bool repeats;    /* each adds one: a file adds to what the command line says */
    const char *help;
};

/* --- values --- */

static const char *set_url(struct tt_tunnel_options *o, const char *text)
{
    if (o->url_count == TT_MOST_URLS)
        return "there are more than 16 of them";
    if (o->command == TT_COMMAND_SERVER && strncmp(text, "fd:", 3) == 0) {
        if (text[3] == '\0' || strspn(text + 3, "0123456789") != strlen(text + 3))
            return "it is not fd:NUMBER";
        o->urls[o->url_count++] = text;
        return NULL;
    }
    const char *why = tt_url_parse(text, &o->urls[o->url_count]);
    if (!why)
        o->url_count++;
    return why;
}

static struct tt_forward *next_forward(struct tt_tunnel_options *o)
{
    return o->forward_count < TT_MOST_FORWARDS ? &o->forwards[o->forward_count] : NULL;
}

static const char too_many[] = "there are more than 64 to listen for";

static const char *set_local(struct tt_tunnel_options *o, const char *text)
{
    struct tt_forward *f = next_forward(o);
    const char *why = f ? tt_forward_parse(f, text) : too_many;
    o->forward_count += !why;
    return why;
}

static const char *set_bind(struct tt_tunnel_options *o, const char *text, bool socks)
{
    struct tt_forward *f = next_forward(o);
    if (!f)
        return too_many;
    *f = (struct tt_forward){.socks = socks, .target = {.kind = TT_TARGET_FIXED}};
    const char *why = tt_bind_parse(f->bind, text);
    o->forward_count += !why;
    return why;
}

static const char *set_client_listen(struct tt_tunnel_options *o, const char *text)
{
    return set_bind(o, text, false);
}

static const char *set_metrics(struct tt_tunnel_options *o, const char *text)
{
    return tt_bind_parse(o->metrics, text);
}

static const char *set_socks(struct tt_tunnel_options *o, const char *text)
{
    return set_bind(o, text, true);
}

static const char *set_server_key(struct tt_tunnel_options *o, const char *text)
{
    o->has_server_key = tt_key_parse_public(o->server_key, text, strlen(text));
    return o->has_server_key ? NULL : "it is not 64 hexadecimal digits, nor base64 of 32 bytes";
}

static const char *set_remote(struct tt_tunnel_options *o, const char *text)
{
    if (o->remote_count == TT_MOST_FORWARDS)
        return too_many;
    struct tt_remote_forward *r = &o->remotes[o->remote_count];
    const char *why = tt_remote_parse(r, (uint16_t)o->remote_count, text);
    o->remote_count += !why;
    return why;
}

static const char *set_allow_remote(struct tt_tunnel_options *o, const char *text)
{
    return tt_rules_add_bind(&o->allow_remote, text);
}

static const char *set_allow(struct tt_tunnel_options *o, const char *text)
{
    return tt_rules_add(&o->allow, text);
}

static const char *set_stdio_target(struct tt_tunnel_options *o, const char *text)
{
    if (o->stdio)
        return "standard input leads to one place alone";
    o->stdio = true;
    return tt_host_port_parse(&o->stdio_target, text);
}

static const char *set_stdio(struct tt_tunnel_options *o, const char *text)
{
    (void)text;
    if (o->stdio)
        return "standard input leads to one place alone";
    o->stdio = true;
    o->stdio_target = (struct tt_target){.kind = TT_TARGET_FIXED};
    return NULL;
}

static const char *set_forward(struct tt_tunnel_options *o, const char *text)
{
    struct tt_address parsed;
    if (tt_address_parse(&parsed, text, NULL) || strcmp(parsed.port, "0") == 0)
        return "it is not HOST:PORT, [IPv6]:PORT or unix:PATH";
    o->forward = text;
    return NULL;
}

#define FIELD(type, member) type, offsetof(struct tt_tunnel_options, member), NULL, false
#define CALL(set)           SETTER, 0, set, false
#define EACH(set)           SETTER, 0, set, true

/* clang-format off */
static const struct option_spec specs[] = {
    {0, "listen", "URL", TT_COMMAND_SERVER, EACH(set_url), "accept clients there: tcp://HOST:PORT, unix:PATH, fd:N"},
    {0, "forward", "TARGET", TT_COMMAND_SERVER, CALL(set_forward), "the fixed target: HOST:PORT or unix:PATH"},
    {0, "allow", "HOST:PORTS", TT_COMMAND_SERVER, EACH(set_allow), "what clients may ask for; also ADDRESS/BITS:PORTS, *:PORTS"},
    {0, "allow-remote", "[BIND:]PORTS", TT_COMMAND_SERVER, EACH(set_allow_remote), "where clients may have us listen (-R)"},
    {0, "connect", "URL", DIALS, EACH(set_url), "where the server is: tcp://HOST:PORT, unix:PATH"},
    {0, "listen", "ADDR", TT_COMMAND_CLIENT, EACH(set_client_listen), "[ADDR:]PORT or unix:PATH: lead to the fixed target"},
    {'L', "local", "[BIND:]PORT:HOST:PORT", TT_COMMAND_CLIENT, EACH(set_local), "listen, and lead to HOST:PORT"},
    {'D', "socks", "[ADDR:]PORT", TT_COMMAND_CLIENT, EACH(set_socks), "a SOCKS5 server; names are resolved by the server"},
    {'R', "remote", "[BIND:]PORT:HOST:PORT", TT_COMMAND_CLIENT, EACH(set_remote), "the server listens, and we lead to HOST:PORT"},
    {0, "stdio", NULL, TT_COMMAND_CLIENT, CALL(set_stdio), "standard input and output: to the fixed target"},
    {'W', "stdio-to", "HOST:PORT", TT_COMMAND_CLIENT, CALL(set_stdio_target), "standard input and output: to HOST:PORT"},
    {0, "bytes", "BYTES", TT_COMMAND_CHECK, FIELD(BYTES, check_bytes), "send and fetch so many, at most 16M (1M)"},
    {0, "seconds", "SECONDS", TT_COMMAND_CHECK, FIELD(SECONDS, check_us), "let a connection grow so old, at most 3600 (20)"},
    {0, "key", "FILE", ALL, FIELD(TEXT, key), "our private key"},
    {0, "server-key", "KEY", DIALS, CALL(set_server_key), "the server's public key"},
    {0, "authorized-clients", "FILE", TT_COMMAND_SERVER, FIELD(TEXT, authorized_clients), "public keys of those who may come"},
    {0, "insecure", NULL, ALL, FIELD(FLAG, insecure), "no keys: anyone on the way can read and change all"},
    {0, "allow-core-dumps", NULL, ALL, FIELD(FLAG, allow_core_dumps), "to find a bug: keys may be in a core"},
    {0, "session-timeout", "SECONDS", ANY, FIELD(SECONDS, library.session_timeout_us), "a session that hears nothing is lost (600)"},
    {0, "user", "NAME", TT_COMMAND_SERVER, FIELD(TEXT, user), "become that user when all is bound and read"},
    {0, "drain", "SECONDS", TT_COMMAND_SERVER, FIELD(SECONDS, drain_us), "at the end, streams may go on so long (30)"},
    {0, "connect-timeout", "SECONDS", ANY, FIELD(SECONDS, connect_timeout_us), "a target has so long to answer (10)"},
    {0, "carriers", "N", TT_COMMAND_CLIENT, FIELD(COUNT, library.carriers), "connections in use at once (1)"},
    {0, "standby", "N", TT_COMMAND_CLIENT, FIELD(COUNT, library.standby), "connections kept ready beside them (0)"},
    {0, "carrier-max-bytes", "BYTES", TT_COMMAND_CLIENT, FIELD(BYTES, library.carrier_max_bytes), "use no connection for more, each way"},
    {0, "carrier-max-age", "SECONDS", TT_COMMAND_CLIENT, FIELD(SECONDS, library.carrier_max_age_us), "nor for longer"},
    {0, "carrier-idle", "SECONDS", TT_COMMAND_CLIENT, FIELD(SECONDS, library.carrier_idle_us), "nor after such a silence"},
    {0, "no-learning", NULL, TT_COMMAND_CLIENT, FIELD(FLAG, library.no_learning), "do not learn such limits"},
    {0, "dial-timeout", "SECONDS", DIALS, FIELD(SECONDS, library.dial_timeout_us), "one try to connect (10)"},
    {0, "redial-first", "SECONDS", TT_COMMAND_CLIENT, FIELD(SECONDS, library.redial_first_us), "wait after a failed one, doubling (0.05)"},
    {0, "redial-most", "SECONDS", TT_COMMAND_CLIENT, FIELD(SECONDS, library.redial_most_us), "up to this (2)"},
    {0, "liveness-floor", "SECONDS", ALL, FIELD(SECONDS, library.liveness_floor_us), "a connection may take so long to answer at least (0.1)"},
    {0, "liveness-ceiling", "SECONDS", ALL, FIELD(SECONDS, library.liveness_ceiling_us), "and at most (30)"},
    {0, "handshake-timeout", "SECONDS", TT_COMMAND_SERVER, FIELD(SECONDS, library.handshake_timeout_us), "for a connection's first bytes (10)"},
    {0, "max-connections", "N", TT_COMMAND_SERVER, FIELD(COUNT, library.max_connections), "carriers at once, of each --listen (10000)"},
    {0, "max-connections-per-address", "N", TT_COMMAND_SERVER, FIELD(COUNT, library.max_connections_per_address), "of them, from one address (256)"},
    {0, "one-origin", NULL, TT_COMMAND_SERVER, FIELD(FLAG, library.one_origin), "behind a balancer: no limits by address"},
    {0, "max-half-open", "N", TT_COMMAND_SERVER, FIELD(COUNT, library.max_half_open), "handshakes without a session yet (1000)"},
    {0, "new-sessions-per-second", "N", TT_COMMAND_SERVER, FIELD(COUNT, library.inits_per_second), "handshakes tried, from one address (20)"},
    {0, "max-sessions-per-client", "N", TT_COMMAND_SERVER, FIELD(COUNT, max_sessions_per_client), "of one client's key (64)"},
    {0, "max-sessions", "N", TT_COMMAND_SERVER, FIELD(COUNT, library.max_sessions), "sessions at once, of each --listen (10000)"},
    {0, "accept-backlog", "N", TT_COMMAND_SERVER, FIELD(COUNT, library.accept_backlog), "sessions that wait to be accepted (128)"},
    {0, "max-streams", "N", ANY, FIELD(COUNT, max_streams), "streams of a session at once (4096)"},
    {0, "max-buffer", "BYTES", ANY, FIELD(SIZE, library.max_buffer_bytes), "data held for all sessions (1G)"},
    {0, "max-packet", "BYTES", ALL, FIELD(COUNT, library.max_packet), "the longest packet, 1400 to 65535 (65535)"},
    {0, "config", "FILE", ALL, FIELD(TEXT, config), "more options: `name value' a line, # for comments"},
    {0, "check-config", NULL, ALL, FIELD(FLAG, check_config), "say whether the options make sense, and exit"},
    {0, "metrics", "[ADDR:]PORT", ANY, CALL(set_metrics), "counters for Prometheus, at http://.../metrics"},
    {0, "json-log", NULL, ALL, FIELD(FLAG, json_log), "messages as JSON, one a line"},
    {'q', "quiet", NULL, ALL, FIELD(FLAG, quiet), "errors alone"},
    {'v', "verbose", NULL, ALL, FIELD(FLAG, verbose), "also each stream and carrier"},
    {'h', "help", NULL, ALL, FIELD(FLAG, help), "print this and exit"},
    {'V', "version", NULL, ALL, FIELD(FLAG, version), "print the version and exit"},
};
/* clang-format on */

#define SPEC_COUNT (sizeof specs / sizeof specs[0])

static const char *take_seconds(uint64_t *us, const char *text)
{
    char *end;
    const double value = strtod(text, &end);
    if (text[0] == '\0' || strspn(text, "0123456789.") != strlen(text) || *end != '\0' ||
        !isfinite(value))
        return "it is not a number of seconds such as 1 or 0.5";
    if (value < 0.001 || value > MAX_SECONDS)
        return "it must be from 0.001 to 1000000000 seconds";
    *us = (uint64_t)(value * (double)TT_SECOND);
    return NULL;
}

/* The factor of a size's suffix, or 0 when there is no such suffix. */
static uint64_t suffix_factor(const char *suffix)
{
    static const char letters[] = "KMG";
    if (suffix[0] == '\0')
        return 1;
    const char *at = strchr(letters, suffix[0]);
    if (!at || suffix[1] != '\0')
        return 0;
    return (uint64_t)1 << 10 * (at - letters + 1);
}

static const char *take_number(uint64_t *out, const char *text, uint64_t max, bool has_suffix)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    const uint64_t factor = has_suffix ? suffix_factor(end) : *end == '\0';

    if (text[0] < '0' || text[0] > '9' || factor == 0)
        return has_suffix ? "it is not a whole number such as 1500, 64K, 10M or 1G"
                          : "it is not a whole number";
    if (errno == ERANGE || value > max / factor)
        return "it is too large";
    if (value == 0)
        return "it must be at least 1";
    *out = value * factor;
    return NULL;
}

static const char *set_value(struct tt_tunnel_options *o, const struct option_spec *spec,
                             const char *text)
{
    char *field = (char *)o + spec->offset;
    uint64_t number = 0;
    const char *why = NULL;

    switch (spec->type) {
    case FLAG:
        *(bool *)(void *)field = true;
        break;
    case TEXT:
        *(const char **)(void *)field = text;
        why = text[0] ? NULL : "it is empty";
        break;
    case SECONDS:
        why = take_seconds((uint64_t *)(void *)field, text);
        break;
    case COUNT:
        why = take_number(&number, text, 1u << 24, false);
        *(uint32_t *)(void *)field = (uint32_t)number;
        break;
    case BYTES:
        why = take_number((uint64_t *)(void *)field, text, UINT64_MAX / 4, true);
        break;
    case SIZE:
        why = take_number(&number, text, SIZE_MAX / 4, true);
        *(size_t *)(void *)field = (size_t)number;
        break;
    case SETTER:
        why = spec->set(o, text);
        break;
    }
    return why;
}

/* --- the command line --- */

struct parse {
    struct tt_tunnel_options *o;
    char *error;
    bool given[SPEC_COUNT]; /* on the command line */
};

static const char *command_name(enum tt_command command)
{
    return command == TT_COMMAND_SERVER   ? "server"
           : command == TT_COMMAND_CLIENT ? "client"
           : command == TT_COMMAND_CHECK  ? "check"
           : command == TT_COMMAND_KEYGEN ? "keygen"
                                          : "pubkey";
}

static const struct option_spec *find_long(const struct tt_tunnel_options *o, const char *name,
                                           size_t len)
{
    for (size_t i = 0; i < SPEC_COUNT; i++)
        if (specs[i].commands & o->command && strlen(specs[i].name) == len &&
            strncmp(specs[i].name, name, len) == 0)
            return &specs[i];
    return NULL;
}

static const struct option_spec *find_short(const struct tt_tunnel_options *o, char letter)
{
    for (size_t i = 0; i < SPEC_COUNT; i++)
        if (specs[i].commands & o->command && specs[i].letter && specs[i].letter == letter)
            return &specs[i];
    return NULL;
}

/* Finds the option that arg names. *value: what is joined to it ("--key=F", "-L80:h:80"), or NULL.
 */
static const struct option_spec *find_spec(const struct tt_tunnel_options *o, const char *arg,
                                           const char **value)
{
    *value = NULL;
    if (arg[0] != '-' || arg[1] == '\0')
        return NULL;
    if (arg[1] != '-') {
        if (arg[2] != '\0')
            *value = arg + 2;
        return find_short(o, arg[1]);
    }
    const size_t len = strcspn(arg + 2, "=");
    if (arg[2 + len] == '=')
        *value = arg + 3 + len;
    return find_long(o, arg + 2, len);
}

static int complain(const struct parse *p, const char *what, const char *about, const char *why)
{
    (void)snprintf(p->error, TT_USAGE_TEXT, "%s %.200s: %s; see turbotunnel %s --help", what, about,
                   why, command_name(p->o->command));
    return -1;
}

/* Takes the option at argv[*at], and moves *at to the last argument that it used. */
static int take_option(struct parse *p, int argc, char **argv, int *at)
{
    const char *value;
    const struct option_spec *spec = find_spec(p->o, argv[*at], &value);
    if (!spec)
        return complain(p, "argument", argv[*at], "there is no such option");
    if (spec->operand && !value && *at + 1 < argc)
        value = argv[++*at];
    if (!spec->operand != !value)
        return complain(p, "option", argv[*at], spec->operand ? "needs a value" : "takes no value");
    char name[300];
    (void)snprintf(name, sizeof name, "--%s %.200s", spec->name, value ? value : "");
    const char *why = set_value(p->o, spec, value ? value : "");
    p->given[spec - specs] = true;
    return why ? complain(p, "option", name, why) : 0;
}

/* --- the file --- */

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(CONFIG_MOST + 1) : NULL;
    if (!text) {
        if (file)
            (void)fclose(file);
        return NULL;
    }
    const size_t len = fread(text, 1, CONFIG_MOST + 1, file);
    const bool failed = ferror(file) != 0;
    const int os_err = failed ? errno : EFBIG;
    (void)fclose(file);
    if (failed || len > CONFIG_MOST) {
        free(text);
        errno = os_err;
        return NULL;
    }
    text[len] = '\0';
    return text;
}

/* Cuts a line into name and value; the name is empty where there is nothing. */
static char *cut_line(char *line, char **value)
{
    static const char blank[] = " \t\r";
    char *name = line + strspn(line, blank);
    if (*name == '#')
        *name = '\0';
    char *end = name + strlen(name);
    while (end > name && strchr(blank, end[-1]))
        *--end = '\0';
    char *at = name + strcspn(name, blank);
    *value = at + strspn(at, blank);
    *at = '\0';
    return name;
}

static const char *take_line(struct parse *p, char *line)
{
    char *value;
    const char *name = cut_line(line, &value);
    if (*name == '\0')
        return NULL;
    const struct option_spec *spec = find_long(p->o, name, strlen(name));
    if (!spec)
        return "there is no such option";
    if (strcmp(spec->name, "config") == 0)
        return "one file does not name another";
    if (!spec->operand != (*value == '\0'))
        return spec->operand ? "it needs a value" : "it takes no value";
    if (p->given[spec - specs] && !spec->repeats)
        return NULL; /* the command line wins */
    return set_value(p->o, spec, value);
}

static int take_config(struct parse *p)
{
    struct tt_tunnel_options *o = p->o;
    unsigned number = 0;
    o->config_text = read_file(o->config);
    if (!o->config_text) {
        (void)snprintf(p->error, TT_USAGE_TEXT, "read %.200s: %s (is --config right?)", o->config,
                       strerror(errno));
        return -1;
    }
    for (char *line = o->config_text; line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        number++;
        const char *why = take_line(p, line);
        if (why) {
            (void)snprintf(p->error, TT_USAGE_TEXT, "%.200s:%u: option %.100s: %s", o->config,
                           number, line + strspn(line, " \t"), why);
            return -1;
        }
        line = end ? end + 1 : NULL;
    }
    return 0;
}

/* A client cannot know a server's limit, and the library ends a session that goes beyond its own:
 * so the server's streams are refused one by one, long before that.
 */
static void set_most_streams(struct tt_tunnel_options *o)
{
    const uint32_t most = o->max_streams;
    o->library.max_streams = most;
    if (o->command == TT_COMMAND_SERVER)
        o->library.max_streams = most + (most > MAX_STREAMS ? most : MAX_STREAMS);
}

/* --- the whole --- */

static const char *missing(const struct tt_tunnel_options *o)
{
    if (o->command == TT_COMMAND_SERVER && o->url_count == 0)
        return "--listen URL is missing: where clients come to";
    if (o->command == TT_COMMAND_SERVER && !o->forward && o->allow.count == 0 &&
        o->allow_remote.count == 0)
        return "--forward, --allow or --allow-remote is missing: where streams may lead";
    if (o->command != TT_COMMAND_SERVER && o->url_count == 0)
        return "--connect URL is missing: where the server is";
    if (o->command == TT_COMMAND_CLIENT && o->forward_count == 0 && o->remote_count == 0 &&
        !o->stdio)
        return "there is nothing to do: give --listen, -L, -D, -R, --stdio or -W";
    if (o->command == TT_COMMAND_CHECK && o->url_count > 1)
        return "check looks at one --connect";
    if (o->command == TT_COMMAND_CHECK &&
        (o->check_bytes > PROBE_MOST || o->check_us > 3600 * TT_SECOND))
        return "check: --bytes is at most 16M, --seconds 3600";
    if (o->stdio && o->forward_count + o->remote_count > 0)
        return "--stdio and -W go with no listener";
    return NULL;
}

static const char *wrong_with_keys(const struct tt_tunnel_options *o)
{
    if (o->insecure)
        return o->key || o->has_server_key || o->authorized_clients ? "--insecure goes with no keys"
                                                                    : NULL;
    if (o->command == TT_COMMAND_SERVER && !o->key)
        return "--key FILE is missing: the server's private key (or --insecure, without keys)";
    if (o->command != TT_COMMAND_SERVER && !o->has_server_key)
        return "--server-key KEY is missing: the server's public key (or --insecure, without keys)";
    return NULL;
}

static int take_command(struct parse *p, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "server") == 0)
        p->o->command = TT_COMMAND_SERVER;
    else if (strcmp(word, "client") == 0)
        p->o->command = TT_COMMAND_CLIENT;
    else if (strcmp(word, "check") == 0)
        p->o->command = TT_COMMAND_CHECK;
    else if (strcmp(word, "keygen") == 0)
        p->o->command = TT_COMMAND_KEYGEN;
    else if (strcmp(word, "pubkey") == 0)
        p->o->command = TT_COMMAND_PUBKEY;
    else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        p->o->help = true;
    else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        p->o->version = true;
    else {
        (void)snprintf(p->error, TT_USAGE_TEXT,
                       "%s%.100s: the first word must be server, client, check, keygen or pubkey; "
                       "see turbotunnel --help",
                       argc > 1 ? "argument " : "no command", word);
        return -1;
    }
    return 0;
}

/* keygen FILE, and pubkey. */
static int take_key_command(struct parse *p, int argc, char **argv)
{
    const int operands = p->o->command == TT_COMMAND_KEYGEN ? 1 : 0;
    if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        p->o->help = true;
        return 0;
    }
    if (argc != 2 + operands || (operands > 0 && argv[2][0] == '-')) {
        (void)snprintf(p->error, TT_USAGE_TEXT, "usage: turbotunnel %s",
                       operands > 0 ? "keygen FILE" : "pubkey <FILE");
        return -1;
    }
    p->o->key = operands > 0 ? argv[2] : NULL;
    return 0;
}

int tt_tunnel_options_parse(struct tt_tunnel_options *o, int argc, char **argv,
                            char error[TT_USAGE_TEXT])
{
    struct parse p = {.o = o, .error = error};
    *o = (struct tt_tunnel_options){.drain_us = 30 * TT_SECOND,
                                    .connect_timeout_us = 10 * TT_SECOND,
                                    .max_streams = MAX_STREAMS,
                                    .max_sessions_per_client = 64,
                                    .library = {.max_connections_per_address = 256},
                                    .check_bytes = 1u << 20,
                                    .check_us = 20 * TT_SECOND};
    if (take_command(&p, argc, argv))
        return -1;
    if (o->command == TT_COMMAND_KEYGEN || o->command == TT_COMMAND_PUBKEY)
        return take_key_command(&p, argc, argv);
    for (int at = 2; at < argc && !o->help && !o->version; at++)
        if (take_option(&p, argc, argv, &at))
            return -1;
    if (o->help || o->version)
        return 0;
    if (o->config && take_config(&p))
        return -1;
    set_most_streams(o);
    if (o->command == TT_COMMAND_SERVER)
        o->url_count += tt_service_sockets(o->urls + o->url_count, TT_MOST_URLS - o->url_count);
    const char *why = missing(o);
    if (!why)
        why = wrong_with_keys(o);
    if (why) {
        (void)snprintf(error, TT_USAGE_TEXT, "%s; see turbotunnel %s --help", why,
                       command_name(o->command));
        return -1;
    }
    return 0;
}

void tt_tunnel_options_dispose(struct tt_tunnel_options *o)
{
    tt_rules_dispose(&o->allow);
    tt_rules_dispose(&o->allow_remote);
    free(o->config_text);
    o->config_text = NULL;
}

/* --- help --- */

static void print_options(FILE *out, enum tt_command command)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        char names[64];
        if (!(specs[i].commands & command))
            continue;
        (void)snprintf(names, sizeof names, "%c%c%c --%s %s", specs[i].letter ? '-' : ' ',
                       specs[i].letter ? specs[i].letter : ' ', specs[i].letter ? ',' : ' ',
                       specs[i].name, specs[i].operand ? specs[i].operand : "");
        (void)fprintf(out, "  %-36s %s\n", names, specs[i].help);
    }
}

void tt_tunnel_options_print_help(FILE *out, enum tt_command command)
{
    static const char *const usage[] = {
        [TT_COMMAND_NONE] =
            "Usage: turbotunnel server OPTION...\n"
            "       turbotunnel client OPTION...\n"
            "       turbotunnel check OPTION...\n"
            "       turbotunnel keygen FILE\n"
            "       turbotunnel pubkey <FILE\n"
            "       turbotunnel --help | --version\n"
            "Forwards TCP connections through a session that outlives the connections\n"
            "which carry it. `turbotunnel server --help' and the like show the options of\n"
            "each.\n",
        [TT_COMMAND_SERVER] =
            "Usage: turbotunnel server --listen URL --forward TARGET [OPTION]...\n"
            "Accepts clients at URL and leads their streams to TARGET.\n\n",
        [TT_COMMAND_CLIENT] =
            "Usage: turbotunnel client --connect URL OPTION...\n"
            "Leads local connections through a session with the server at URL.\n\n",
        [TT_COMMAND_CHECK] =
            "Usage: turbotunnel check --connect URL --server-key KEY [OPTION]...\n"
            "Says whether the server can be reached and has that key, and what the network\n"
            "on the way does to connections.\n\n",
        [TT_COMMAND_KEYGEN] =
            "Usage: turbotunnel keygen FILE\n"
            "Makes a private key and writes it to FILE, which must not be there; its owner\n"
            "alone may read it. Prints the public key.\n",
        [TT_COMMAND_PUBKEY] = "Usage: turbotunnel pubkey <FILE\n"
                              "Prints the public key of the private key in FILE.\n",
    };
    (void)fputs(usage[command], out);
    if (command & ALL)
        print_options(out, command);
    (void)fputs("\nExit status: 0 done, 1 failed, 2 bad usage.\n", out);
}
