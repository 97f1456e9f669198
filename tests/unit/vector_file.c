#include "vector_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

struct vector_block {
    struct vector_block *older;
    uint8_t *bytes;
};

static char *read_all(FILE *file)
{
    size_t cap = 1 << 16;
    size_t len = 0;
    char *text = malloc(cap);
    while (text) {
        len += fread(text + len, 1, cap - len - 1, file);
        if (len < cap - 1)
            break;
        char *larger = realloc(text, cap *= 2);
        if (!larger)
            free(text);
        text = larger;
    }
    if (text)
        text[len] = '\0';
    return text;
}

void vector_file_open(struct vector_file *v, const char *name)
{
    char path[1024];
    const char *dir = getenv("TT_VECTORS");
    if (!dir)
        fail_msg("TT_VECTORS is not set: point it to tests/vectors");
    int len = snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = len > 0 && (size_t)len < sizeof(path) ? fopen(path, "rb") : NULL;
    if (!file)
        fail_msg("cannot read the vectors %s/%s", dir, name);
    *v = (struct vector_file){.name = name, .text = read_all(file)};
    fclose(file);
    if (!v->text)
        fail_msg("no memory for %s", name);
    v->next = v->text;
}

/* Cuts the line at v->next out of the text and splits it. False: a comment or an empty line. */
static bool take_line(struct vector_file *v)
{
    char *line = v->next;
    char *end = strchr(line, '\n');
    v->next = end ? end + 1 : line + strlen(line);
    if (end)
        *end = '\0';
    v->line++;
    if (line[0] == '#' || line[0] == '\0')
        return false;
    char *colon = strchr(line, ':');
    if (!colon || colon == line)
        fail_msg("%s:%u: no \"key: value\"", v->name, v->line);
    *colon = '\0';
    v->key = line;
    v->value = colon + 1 + (colon[1] == ' ');
    return true;
}

bool vector_file_next(struct vector_file *v)
{
    while (*v->next != '\0')
        if (take_line(v))
            return true;
    return false;
}

bool vector_key_is(const struct vector_file *v, const char *key)
{
    return strcmp(v->key, key) == 0;
}

bool vector_value_is(const struct vector_file *v, const char *value)
{
    return strcmp(v->value, value) == 0;
}

int64_t vector_number(const struct vector_file *v)
{
    char *end;
    const long long number = strtoll(v->value, &end, 10);
    if (end == v->value || *end != '\0')
        fail_msg("%s:%u: \"%s\" is not a number", v->name, v->line, v->value);
    return number;
}

static unsigned hex_digit(const struct vector_file *v, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    if (!at)
        fail_msg("%s:%u: not an even number of hexadecimal digits", v->name, v->line);
    return (unsigned)(at - digits);
}

struct tt_span vector_bytes_of(struct vector_file *v, const char *text)
{
    const size_t len = strcspn(text, " ") / 2;
    struct vector_block *block = malloc(sizeof(*block));
    uint8_t *bytes = malloc(len > 0 ? len : 1);
    if (!block || !bytes)
        abort();
    *block = (struct vector_block){.older = v->blocks, .bytes = bytes};
    v->blocks = block;
    for (size_t i = 0; i < len; i++) {
        const unsigned high = hex_digit(v, text[2 * i]);
        bytes[i] = (uint8_t)(high << 4 | hex_digit(v, text[2 * i + 1]));
    }
    if (text[2 * len] != '\0' && text[2 * len] != ' ')
        fail_msg("%s:%u: an odd number of hexadecimal digits", v->name, v->line);
    return tt_span_of(bytes, len);
}

struct tt_span vector_bytes(struct vector_file *v)
{
    if (strchr(v->value, ' '))
        fail_msg("%s:%u: a blank among the bytes", v->name, v->line);
    return vector_bytes_of(v, v->value);
}

void vector_file_close(struct vector_file *v)
{
    while (v->blocks) {
        struct vector_block *block = v->blocks;
        v->blocks = block->older;
        free(block->bytes);
        free(block);
    }
    free(v->text);
    *v = (struct vector_file){0};
}
