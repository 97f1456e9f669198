#include "commands.h"

#include <string.h>

static void print_stats(const struct tt_bad_direction directions[2], FILE *out)
{
    fputs("{\"up\": ", out);
    tt_bad_counters_print(&directions[TT_BAD_UP].counters, out);
    fputs(", \"down\": ", out);
    tt_bad_counters_print(&directions[TT_BAD_DOWN].counters, out);
    fputs("}\n", out);
}

static const char *change(struct tt_bad_direction directions[2], const char *name, char *words,
                          uint64_t now_ns)
{
    const struct tt_bad_setting *setting = tt_bad_setting_find(name);
    struct tt_bad_settings wanted[2] = {directions[0].settings, directions[1].settings};

    if (!setting)
        return "there is no such command; see badlink --help";
    const char *why = tt_bad_setting_set(setting, wanted, words);
    if (why)
        return why;
    tt_bad_direction_change(&directions[0], &wanted[0], now_ns);
    tt_bad_direction_change(&directions[1], &wanted[1], now_ns);
    return NULL;
}

void tt_bad_command(struct tt_bad_direction directions[2], char *line, uint64_t now_ns, FILE *out)
{
    char *words = line + strcspn(line, " ");

    if (*words)
        *words++ = '\0';
    if (strcmp(line, "stats") == 0 && *words == '\0') {
        print_stats(directions, out);
        return;
    }
    const char *why = change(directions, line, words, now_ns);
    if (why)
        fprintf(out, "error: %.100s: %s\n", line, why);
    else
        fputs("ok\n", out);
}
