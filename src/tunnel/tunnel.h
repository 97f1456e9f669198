/* tunnel.h - the program turbotunnel, and what its two commands share. */
#ifndef TT_TUNNEL_TUNNEL_H
#define TT_TUNNEL_TUNNEL_H

enum { TT_EXIT_DONE = 0, TT_EXIT_FAILED = 1, TT_EXIT_USAGE = 2 };

/* The whole program. Returns its exit status. */
int tt_tunnel_main(int argc, char **argv);

#endif
