/* turbotunnel - forwards TCP connections through sessions. See docs/turbotunnel.1. */
#include "tunnel/tunnel.h"

int main(int argc, char **argv)
{
    return tt_tunnel_main(argc, argv);
}
