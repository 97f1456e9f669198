/* export.h - what the shared library shows; everything else is hidden. */
#ifndef TURBOTUNNEL_EXPORT_H
#define TURBOTUNNEL_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#define TT_EXPORT __attribute__((visibility("default")))
#else
#define TT_EXPORT
#endif

#endif
