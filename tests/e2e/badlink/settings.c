#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define MAX_MS    60000u
#define MAX_BYTES ((uint64_t)1 << 30)

/* --- values --- */

/* The factor of a size's suffix, or 0 when there is no such suffix. */
static uint64_t suffix_factor(const char *suffix)
{
    if (strcmp(suffix, "K") == 0)
        return 1u << 10;
    if (strcmp(suffix, "M") == 0)
        return 1u << 20;
    if (strcmp(suffix, "G") == 0)
        return 1u << 30;
    return suffix[0] == '\0';
}

static const char *read_bytes(uint64_t *out, const char *text)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    const uint64_t factor = suffix_factor(end);

    if (!isdigit((unsigned char)text[0]) || factor == 0)
        return "the value is not a whole number such as 1500, 64K or 10M";
    if (errno == ERANGE || value > MAX_BYTES / factor)
        return "the value is above 1G";
    *out = value * factor;
    return NULL;
}

static const char *read_number(uint64_t *out, const char *text, uint64_t max, const char *why_not)
{
    const size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 9 || text[digits] != '\0' || strtoull(text, NULL, 10) > max)
        return why_not;
    *out = strtoull(text, NULL, 10);
    return NULL;
}

static const char *read_ms(uint64_t *out, const char *text)
{
    uint64_t ms = 0;
    const char *why =
        read_number(&ms, text, MAX_MS, "the value is not a whole number from 0 to 60000");
    *out = ms * NS_PER_MS;
    return why;
}

static const char *read_permille(uint64_t *out, const char *text)
{
    return read_number(out, text, 1000, "the value is not a whole number from 0 to 1000");
}

static const char *read_switch(uint64_t *out, const char *text)
{
    *out = strcmp(text, "on") == 0;
    return *out || strcmp(text, "off") == 0 ? NULL : "the value is neither on nor off";
}

/* --- the table --- */

#define AT(field) offsetof(struct tt_bad_settings, field)

/* clang-format off */
static const struct tt_bad_setting settings[] = {
    {"delay", "MS", read_ms, AT(delay_ns), "every packet arrives that much later"},
    {"jitter", "MS", read_ms, AT(jitter_ns), "and by chance up to that much later still"},
    {"rate", "BYTES/S", read_bytes, AT(rate_bytes_s), "send at most so fast; 0 (default): no limit"},
    {"queue", "BYTES", read_bytes, AT(queue_bytes), "what may wait to be sent (default 256K)"},
    {"hold", "BYTES", read_bytes, AT(hold_bytes), "memory for packets held (default 64M)"},
    {"loss", "PERMILLE", read_permille, AT(loss_permille), "so many of 1000 packets are lost"},
    {"reorder", "PERMILLE", read_permille, AT(reorder_permille), "so many arrive 10 ms later"},
    {"duplicate", "PERMILLE", read_permille, AT(duplicate_permille), "so many arrive twice"},
    {"blackhole", "on|off", read_switch, AT(blackhole), "nothing arrives, also of what is under way"},
};
/* clang-format on */

struct tt_bad_settings tt_bad_settings_default(void)
{
    return (struct tt_bad_settings){.queue_bytes = 256u << 10, .hold_bytes = 64u << 20};
}

const struct tt_bad_setting *tt_bad_setting_at(size_t i)
{
    return i < sizeof settings / sizeof settings[0] ? &settings[i] : NULL;
}

const struct tt_bad_setting *tt_bad_setting_find(const char *name)
{
    const struct tt_bad_setting *s;

    for (size_t i = 0; (s = tt_bad_setting_at(i)) != NULL; i++) {
        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

static void store(const struct tt_bad_setting *setting, struct tt_bad_settings *direction,
                  uint64_t value)
{
    memcpy((char *)direction + setting->offset, &value, sizeof value);
}

const char *tt_bad_setting_set(const struct tt_bad_setting *setting,
                               struct tt_bad_settings directions[2], char *words)
{
    static const char separators[] = " :\t\r";
    char *rest;
    const char *word = strtok_r(words, separators, &rest);
    const bool up_only = word && strcmp(word, "up") == 0;
    const bool down_only = word && strcmp(word, "down") == 0;
    uint64_t value;

    if (up_only || down_only || (word && strcmp(word, "both") == 0))
        word = strtok_r(NULL, separators, &rest);
    if (!word)
        return "the value is missing";
    const char *why = setting->read(&value, word);
    if (!why && strtok_r(NULL, separators, &rest))
        why = "there is one value too many";
    if (why)
        return why;
    if (!down_only)
        store(setting, &directions[TT_BAD_UP], value);
    if (!up_only)
        store(setting, &directions[TT_BAD_DOWN], value);
    return NULL;
}

void tt_bad_settings_print_help(FILE *out)
{
    const struct tt_bad_setting *s;

    for (size_t i = 0; (s = tt_bad_setting_at(i)) != NULL; i++)
        fprintf(out, "  --%-10s %-9s %s\n", s->name, s->operand, s->help);
}
