/* turbotunnel.h - the whole public interface. See session.h first. */
#ifndef TURBOTUNNEL_TURBOTUNNEL_H
#define TURBOTUNNEL_TURBOTUNNEL_H

#include <turbotunnel/alloc.h>
#include <turbotunnel/error.h>
#include <turbotunnel/keys.h>
#include <turbotunnel/loop.h>
#include <turbotunnel/options.h>
#include <turbotunnel/session.h>
#include <turbotunnel/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The release of the library that runs, "MAJOR.MINOR.PATCH": with the shared library perhaps
 * another than the program was built with. A static string; any thread, at any time.
 */
TT_EXPORT const char *tt_version(void);

#ifdef __cplusplus
}
#endif

#endif
