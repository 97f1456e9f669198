#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NET   64
#define MAX_TABLE 16

/* What getopt calls them; a setting is OPTION_SETTING and its place in their table. */
enum { OPTION_HELP = 'h', OPTION_SEED = 256, OPTION_SETTING };

/* Makes getopt's table out of that of the settings. */
static void make_table(struct option table[MAX_TABLE])
{
    const struct tt_bad_setting *s;
    size_t n = 0;

    table[n++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    table[n++] = (struct option){"seed", required_argument, NULL, OPTION_SEED};
    for (size_t i = 0; n < MAX_TABLE - 1 && (s = tt_bad_setting_at(i)) != NULL; i++)
        table[n++] = (struct option){s->name, required_argument, NULL, OPTION_SETTING + (int)i};
    table[n] = (struct option){0};
}

static const char *set_seed(struct tt_bad_options *options, const char *text)
{
    char *end;
    errno = 0;
    options->seed = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno == ERANGE)
        return "the value is not a whole number from 0 to 18446744073709551615";
    return NULL;
}

static int take_option(struct tt_bad_options *options, int which, const char *name, char *error)
{
    char words[TT_BAD_OPTIONS_ERROR / 4];
    const char *why;

    snprintf(words, sizeof words, "%s", optarg);
    if (which == OPTION_SEED) {
        why = set_seed(options, words);
    } else {
        const struct tt_bad_setting *setting = tt_bad_setting_at((size_t)(which - OPTION_SETTING));
        why = tt_bad_setting_set(setting, options->settings, words);
    }
    if (why)
        snprintf(error, TT_BAD_OPTIONS_ERROR, "option --%s %.100s: %s; see badlink --help", name,
                 optarg, why);
    return why ? -1 : 0;
}

/* Says what getopt did not like. Of letters in one word it has told only the letter. */
static void complain(int which, char **argv, char *error)
{
    const char letter[] = {'-', (char)optopt, '\0'};
    const bool is_letter = optopt > 0 && optopt < OPTION_SEED && optopt != OPTION_HELP;

    snprintf(error, TT_BAD_OPTIONS_ERROR, "%s: %.100s; see badlink --help",
             which == ':' ? "a value is missing" : "no such option",
             is_letter ? letter : argv[optind - 1]);
}

static int take_nets(struct tt_bad_options *options, int argc, char **argv, char *error)
{
    if (argc - optind != 2) {
        snprintf(error, TT_BAD_OPTIONS_ERROR,
                 "two namespaces must be named, CLIENT and SERVER; see badlink --help");
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        const char *net = argv[optind + i];
        if (net[0] == '\0' || net[0] == '.' || strchr(net, '/') || strlen(net) > MAX_NET) {
            snprintf(error, TT_BAD_OPTIONS_ERROR,
                     "%.100s cannot be a namespace: give a name, as for ip netns add", net);
            return -1;
        }
        options->nets[i] = net;
    }
    return 0;
}

int tt_bad_options_parse(struct tt_bad_options *options, int argc, char **argv,
                         char error[TT_BAD_OPTIONS_ERROR])
{
    struct option table[MAX_TABLE];
    int which, at = 0;

    *options = (struct tt_bad_options){
        .settings = {tt_bad_settings_default(), tt_bad_settings_default()}, .seed = 1};
    make_table(table);
    opterr = 0;
    while ((which = getopt_long(argc, argv, ":h", table, &at)) != -1) {
        if (which == OPTION_HELP) {
            options->help = true;
            return 0;
        }
        if (which == '?' || which == ':') {
            complain(which, argv, error);
            return -1;
        }
        if (take_option(options, which, table[at].name, error) < 0)
            return -1;
    }
    return take_nets(options, argc, argv, error);
}

void tt_bad_options_print_help(FILE *out)
{
    fputs(
        "Usage: badlink [OPTION]... CLIENT SERVER\n"
        "Joins two network namespaces, made by ip netns add, with a bad link. In each it makes a\n"
        "TUN device named badlink; give it an address and set it up. Multicast is not carried.\n"
        "Prints `ready` when the devices are there, and ends when standard input ends.\n\n"
        "  --help                 print this and exit\n"
        "  --seed N               what chance depends on, and nothing else (default 1)\n",
        out);
    tt_bad_settings_print_help(out);
    fputs("\nA value is for both directions, or for one: --loss up:10 (from CLIENT to SERVER), or\n"
          "--loss down:10. BYTES may end in K, M or G (powers of 1024).\n\n"
          "The same as lines on standard input changes the link while it runs: `loss up 10`. Each\n"
          "is answered with one line: `ok`, or `error: ...`. What was sent before the line is\n"
          "treated as before. `stats` is answered with counters, as JSON.\n",
          out);
}
