/* vector_file.h - reads the test vectors: one "key: value" a line, '#' begins a comment line.
 *
 *     struct vector_file v;
 *     vector_file_open(&v, "encap/length16.txt");
 *     while (vector_file_next(&v))
 *         if (vector_key_is(&v, "length"))
 *             length = vector_number(&v);
 *     vector_file_close(&v);
 *
 * The files lie in the directory that the environment variable TT_VECTORS names. Whatever is wrong
 * with a file fails the test, with file and line: vectors are ours.
 */
#ifndef TESTS_UNIT_VECTOR_FILE_H
#define TESTS_UNIT_VECTOR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

struct vector_block;

struct vector_file {
    const char *name; /* as given to open, for messages */
    unsigned line;    /* of the key, counted from 1 */
    const char *key;  /* both until vector_file_close() */
    const char *value;
    char *text; /* the rest is private */
    char *next;
    struct vector_block *blocks;
};

/* name: the path below TT_VECTORS; it must stay valid. */
void vector_file_open(struct vector_file *v, const char *name);

/* Goes to the next line that is not a comment; false: there is none. */
bool vector_file_next(struct vector_file *v);

bool vector_key_is(const struct vector_file *v, const char *key);
bool vector_value_is(const struct vector_file *v, const char *value);

/* The value, which must be a decimal number and nothing else. */
int64_t vector_number(const struct vector_file *v);

/* The value, which must be bytes in lower-case hexadecimal. The memory has exactly their size, so
 * that a sanitizer sees who reads past it, and is v's: it lives until vector_file_close().
 */
struct tt_span vector_bytes(struct vector_file *v);

/* The same for a part of a value: `text` is one of its words, up to a blank or its end. */
struct tt_span vector_bytes_of(struct vector_file *v, const char *text);

void vector_file_close(struct vector_file *v);

#endif
