/* lilbastard - a TCP proxy that ends connections on purpose. See docs/lilbastard.1. */
#include "log.h"
#include "options.h"
#include "proxy.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int main(int argc, char **argv)
{
    struct tt_lil_options options;
    char error[TT_LIL_ERROR_TEXT];

    if (tt_lil_options_parse(&options, argc, argv, error) < 0) {
        tt_lil_log("lilbastard: %s", error);
        return EXIT_USAGE;
    }
    if (options.help) {
        tt_lil_options_print_help(stdout);
        return EXIT_DONE;
    }
    if (options.version) {
        puts("lilbastard " TT_VERSION);
        return EXIT_DONE;
    }
    return tt_lil_proxy_run(&options) == 0 ? EXIT_DONE : EXIT_FAILED;
}
