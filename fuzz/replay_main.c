/* Runs a fuzz target over files, or all files of directories: the corpus, without a fuzzer.
 *
 *     TARGET_replay FILE|DIRECTORY...
 *
 * Exit status: 0 all ran (the target aborts when it finds something), 1 a file could not be read or
 * there was none at all.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fuzz.h"

#define MAX_INPUT (1 << 20)

static size_t replayed;

static bool replay_file(const char *path)
{
    static uint8_t buf[MAX_INPUT];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "open %s: %s\n", path, strerror(errno));
        return false;
    }
    const size_t size = fread(buf, 1, sizeof(buf), file);
    const bool whole = !ferror(file) && feof(file);
    fclose(file);
    if (!whole) {
        fprintf(stderr, "read %s: an error, or more than %d bytes\n", path, MAX_INPUT);
        return false;
    }
    /* A copy of exactly its size: a sanitizer sees what reads past it. */
    uint8_t *input = malloc(size > 0 ? size : 1);
    FUZZ_REQUIRE(input, "no memory");
    memcpy(input, buf, size);
    (void)LLVMFuzzerTestOneInput(input, size);
    free(input);
    replayed++;
    return true;
}

static bool replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    bool good = dir != NULL;
    if (!dir)
        fprintf(stderr, "open %s: %s\n", path, strerror(errno));
    for (struct dirent *entry; good && (entry = readdir(dir)) != NULL;) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        good = replay_file(name);
    }
    if (dir)
        closedir(dir);
    return good;
}

static bool replay(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && S_ISDIR(found.st_mode) ? replay_directory(path)
                                                             : replay_file(path);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!replay(argv[i]))
            return 1;
    printf("%zu inputs replayed\n", replayed);
    if (replayed > 0)
        return 0;
    fprintf(stderr, "usage: %s FILE|DIRECTORY... (with at least one file)\n", argv[0]);
    return 1;
}
