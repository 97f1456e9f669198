/* link.h - the whole of it: two devices, both directions, commands; one loop. */
#ifndef TT_BAD_LINK_H
#define TT_BAD_LINK_H

#include "options.h"

/* Carries packets until standard input ends. Answers go to standard output.
 *
 * Returns 0; or -1 after saying on standard error why it could not start, or go on.
 */
int tt_bad_link_run(const struct tt_bad_options *options);

#endif
