#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_S       1000000.0
#define US_PER_MS      1000.0
#define DUMP_MAX_BYTES (UINT64_C(1) << 30)
#define MAX_SECONDS    1e9 /* 30 years: far below where microseconds in 64 bits would wrap */

/* Sets one field from its text. Returns NULL, or why the text is no good (a static string). */
typedef const char *set_option(struct tt_lil_options *options, const char *text);

struct option_spec {
    char letter;         /* of the short form, or 0 */
    const char *name;    /* of the long form */
    const char *operand; /* what --help calls its value, or NULL if it has none */
    set_option *set;
    const char *help;
};

static const char *const how_names[] = {[TT_LIL_FIN] = "fin",
                                        [TT_LIL_RST] = "rst",
                                        [TT_LIL_FREEZE] = "freeze",
                                        [TT_LIL_GHOST] = "ghost"};

static bool is_number_start(char c)
{
    return (c >= '0' && c <= '9') || c == '.';
}

static const char *take_duration(uint64_t *out_us, const char *text, double us_per_unit)
{
    char *end;
    double value = strtod(text, &end);

    if (!is_number_start(text[0]) || *end != '\0' || !isfinite(value))
        return "it is not a number such as 1 or 0.5";
    value *= us_per_unit;
    if ((value != 0 && value < US_PER_MS) || value > MAX_SECONDS * US_PER_S)
        return "it must be 0, or at least a millisecond and at most 1000000000 seconds";
    *out_us = (uint64_t)value;
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

static const char *take_count(uint64_t *out, const char *text, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const uint64_t factor = suffix_factor(end);

    if (text[0] < '0' || text[0] > '9' || factor == 0)
        return "it is not a whole number such as 1500, 64K, 10M or 1G";
    if (errno == ERANGE || value > max / factor)
        return "it is too large";
    if (value == 0)
        return "it must be at least 1";
    *out = value * factor;
    return NULL;
}

static const char *set_lifetime(struct tt_lil_options *o, const char *text)
{
    const char *why = take_duration(&o->lifetime_us, text, US_PER_S);
    if (!why && o->lifetime_us == 0)
        return "it must be above 0; leave it out for connections that are not ended by age";
    return why;
}

static const char *set_how(struct tt_lil_options *o, const char *text)
{
    for (size_t i = 0; i < sizeof how_names / sizeof how_names[0]; i++) {
        if (strcmp(text, how_names[i]) == 0) {
            o->how = (enum tt_lil_how)i;
            return NULL;
        }
    }
    return "it is none of fin, rst, freeze, ghost";
}

static const char *set_after_bytes(struct tt_lil_options *o, const char *text)
{
    o->count = TT_LIL_COUNT_TOTAL;
    if (strncmp(text, "up:", 3) == 0)
        o->count = TT_LIL_COUNT_UP;
    else if (strncmp(text, "down:", 5) == 0)
        o->count = TT_LIL_COUNT_DOWN;
    const char *number = o->count == TT_LIL_COUNT_TOTAL ? text : strchr(text, ':') + 1;
    return take_count(&o->after_bytes, number, UINT64_MAX / 4);
}

static const char *set_refuse(struct tt_lil_options *o, const char *text)
{
    return take_duration(&o->refuse_us, text, US_PER_S);
}

static const char *set_delay(struct tt_lil_options *o, const char *text)
{
    return take_duration(&o->delay_us, text, US_PER_MS);
}

static const char *set_rate(struct tt_lil_options *o, const char *text)
{
    return take_count(&o->rate_bytes_s, text, (uint64_t)1 << 40);
}

static const char *set_buffer(struct tt_lil_options *o, const char *text)
{
    uint64_t bytes = 0;
    const char *why = take_count(&bytes, text, (uint64_t)1 << 30);
    o->buffer_bytes = (size_t)bytes;
    return why;
}

static const char *set_jitter(struct tt_lil_options *o, const char *text)
{
    char *end;
    o->jitter_percent = strtod(text, &end);
    if (!is_number_start(text[0]) || *end != '\0' || !(o->jitter_percent <= 100))
        return "it is not a number from 0 to 100";
    return NULL;
}

static const char *set_seed(struct tt_lil_options *o, const char *text)
{
    char *end;
    errno = 0;
    o->seed = strtoull(text, &end, 10);
    o->seed_given = true;
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno == ERANGE)
        return "it is not a whole number from 0 to 18446744073709551615";
    return NULL;
}

static const char *set_dump(struct tt_lil_options *o, const char *text)
{
    o->dump_path = text;
    return text[0] ? NULL : "a file name cannot be empty";
}

static const char *set_dump_max(struct tt_lil_options *o, const char *text)
{
    return take_count(&o->dump_max_bytes, text, UINT64_MAX / 4);
}

static const char *set_max_connections(struct tt_lil_options *o, const char *text)
{
    return take_count(&o->max_connections, text, 1u << 24);
}

static const char *set_help(struct tt_lil_options *o, const char *text)
{
    (void)text;
    o->help = true;
    return NULL;
}

static const char *set_version(struct tt_lil_options *o, const char *text)
{
    (void)text;
    o->version = true;
    return NULL;
}

/* clang-format off */
static const struct option_spec specs[] = {
    {'w', "lifetime", "SECONDS", set_lifetime, "end each connection that long after it was opened"},
    {0, "how", "WAY", set_how, "how to end it: fin (default), rst, freeze or ghost"},
    {0, "after-bytes", "[up:|down:]N", set_after_bytes, "end it after N forwarded bytes"},
    {0, "refuse", "SECONDS", set_refuse, "after each end refuse new connections for that long"},
    {0, "delay", "MS", set_delay, "let every byte arrive that much later"},
    {0, "rate", "BYTES/S", set_rate, "forward at most so fast, per connection and direction"},
    {0, "buffer", "BYTES", set_buffer, "hold at most so much, per connection and direction"},
    {0, "jitter", "PERCENT", set_jitter, "vary -w, --after-bytes and --delay by up to +-PERCENT"},
    {0, "seed", "N", set_seed, "make --jitter the same in every run"},
    {0, "dump", "FILE", set_dump, "write all that the programs send to FILE, both directions"},
    {0, "dump-max", "BYTES", set_dump_max, "end the dump at that size (default 1G)"},
    {0, "max-connections", "N", set_max_connections, "serve at most N at a time (default 10000)"},
    {'h', "help", NULL, set_help, "print this and exit"},
    {'V', "version", NULL, set_version, "print the version and exit"},
};
/* clang-format on */

#define SPEC_COUNT (sizeof specs / sizeof specs[0])

/* Finds the option that arg names. *value: what is joined to it ("--rate=5", "-w5"), or NULL. */
static const struct option_spec *find_spec(const char *arg, const char **value)
{
    *value = NULL;
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        const size_t len = strlen(specs[i].name);
        if (arg[1] == '-') {
            if (strncmp(arg + 2, specs[i].name, len) != 0)
                continue;
            if (arg[2 + len] == '=')
                *value = arg + 3 + len;
            if (arg[2 + len] == '\0' || *value)
                return &specs[i];
        } else if (specs[i].letter && arg[1] == specs[i].letter) {
            if (arg[2] != '\0')
                *value = arg + 2;
            return &specs[i];
        }
    }
    return NULL;
}

/* Handles the option at argv[*at], and moves *at to the last argument that it used. */
static int take_option(struct tt_lil_options *o, int argc, char **argv, int *at, char *error)
{
    const char *arg = argv[*at];
    const char *value;
    const struct option_spec *spec = find_spec(arg, &value);

    if (!spec) {
        snprintf(error, TT_LIL_ERROR_TEXT, "unknown option %.100s; see lilbastard --help", arg);
        return -1;
    }
    if (spec->operand && !value && *at + 1 < argc)
        value = argv[++*at];
    if (!spec->operand != !value) {
        snprintf(error, TT_LIL_ERROR_TEXT, "option --%s %s; see lilbastard --help", spec->name,
                 spec->operand ? "needs a value" : "takes no value");
        return -1;
    }
    const char *why = spec->set(o, value);
    if (why) {
        snprintf(error, TT_LIL_ERROR_TEXT, "option --%s %.100s: %s; see lilbastard --help",
                 spec->name, value, why);
        return -1;
    }
    return 0;
}

static int take_operand(struct tt_lil_options *o, const char *arg, char *error)
{
    const bool first = !o->listen_text;

    if (o->upstream_text) {
        snprintf(error, TT_LIL_ERROR_TEXT,
                 "unexpected argument %.100s: LISTEN and UPSTREAM are already given; see "
                 "lilbastard --help",
                 arg);
        return -1;
    }
    const char *why = tt_lil_endpoint_parse(first ? &o->listen : &o->upstream, arg);
    if (!why && !first && strcmp(o->upstream.port, "0") == 0)
        why = "port 0 is only for LISTEN; give the port that the server listens on";
    if (why) {
        snprintf(error, TT_LIL_ERROR_TEXT, "%s %.300s: %s", first ? "LISTEN" : "UPSTREAM", arg,
                 why);
        return -1;
    }
    *(first ? &o->listen_text : &o->upstream_text) = arg;
    return 0;
}

int tt_lil_options_parse(struct tt_lil_options *options, int argc, char **argv,
                         char error[TT_LIL_ERROR_TEXT])
{
    bool only_operands = false;

    *options = (struct tt_lil_options){.max_connections = 10000, .dump_max_bytes = DUMP_MAX_BYTES};
    for (int at = 1; at < argc && !options->help && !options->version; at++) {
        if (!only_operands && strcmp(argv[at], "--") == 0)
            only_operands = true;
        else if (only_operands || argv[at][0] != '-' || argv[at][1] == '\0') {
            if (take_operand(options, argv[at], error) < 0)
                return -1;
        } else if (take_option(options, argc, argv, &at, error) < 0) {
            return -1;
        }
    }
    if (!options->help && !options->version && !options->upstream_text) {
        snprintf(
            error, TT_LIL_ERROR_TEXT,
            "%s missing; usage: lilbastard [OPTION]... LISTEN UPSTREAM, for example lilbastard "
            "-w 10 127.0.0.1:7000 127.0.0.1:8000",
            options->listen_text ? "UPSTREAM is" : "LISTEN and UPSTREAM are");
        return -1;
    }
    return 0;
}

void tt_lil_options_print_help(FILE *out)
{
    fputs("Usage: lilbastard [OPTION]... LISTEN UPSTREAM\n"
          "Forwards TCP connections from LISTEN to UPSTREAM, and ends them on purpose.\n\n"
          "LISTEN and UPSTREAM are IPv4:PORT, [IPv6]:PORT or NAME:PORT; LISTEN may have port 0.\n"
          "BYTES and N of --after-bytes may end in K, M or G (powers of 1024).\n\n",
          out);
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        char names[64];
        snprintf(names, sizeof names, "%c%c%c --%s %s", specs[i].letter ? '-' : ' ',
                 specs[i].letter ? specs[i].letter : ' ', specs[i].letter ? ',' : ' ',
                 specs[i].name, specs[i].operand ? specs[i].operand : "");
        fprintf(out, "  %-32s %s\n", names, specs[i].help);
    }
    fputs("\nWays to end a connection:\n"
          "  fin     both sides are closed in order\n"
          "  rst     both sides are reset\n"
          "  freeze  nothing is forwarded any more, both sides stay open\n"
          "  ghost   the client's side is closed, the server's side stays open and silent\n",
          out);
}

const char *tt_lil_how_text(enum tt_lil_how how)
{
    return how_names[how];
}
