/* badlink - joins two network namespaces with a bad link. See docs/testing.md. */
#include "link.h"
#include "options.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int main(int argc, char **argv)
{
    struct tt_bad_options options;
    char error[TT_BAD_OPTIONS_ERROR];

    if (tt_bad_options_parse(&options, argc, argv, error) < 0) {
        fprintf(stderr, "badlink: %s\n", error);
        return EXIT_USAGE;
    }
    if (options.help) {
        tt_bad_options_print_help(stdout);
        return EXIT_DONE;
    }
    return tt_bad_link_run(&options) == 0 ? EXIT_DONE : EXIT_FAILED;
}
