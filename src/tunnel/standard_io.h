/* standard_io.h - standard input and output as descriptors of our own, which may be made
 * non-blocking. */
#ifndef TT_TUNNEL_STANDARD_IO_H
#define TT_TUNNEL_STANDARD_IO_H

struct tt_stdio {
    int in_fd, out_fd; /* the caller's, who closes them */
    int in_flags;      /* what to give back to descriptor 0, or -1 */
    int out_flags;     /* and 1 */
    _Bool open;
};

/* Pipes and terminals are opened again, so that what we change (non-blocking) is ours alone;
 * sockets cannot be, and are given back as they were. 0, or TT_E_SYSTEM.
 */
int tt_stdio_open(struct tt_stdio *s);

/* Gives back what was changed; before the process ends. */
void tt_stdio_close(struct tt_stdio *s);

#endif
