/* log.h - what lilbastard says on standard error: one line for each thing it does.
 *
 * Every line leaves in one write, so that lines of several processes on one terminal do not mix.
 */
#ifndef TT_LIL_LOG_H
#define TT_LIL_LOG_H

/* Prints one line; the newline is added. Errors of writing are ignored: nobody is left to tell. */
void tt_lil_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
