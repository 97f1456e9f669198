/* process.h - what the process may do, and what of it may be seen. */
#ifndef TT_TUNNEL_PROCESS_H
#define TT_TUNNEL_PROCESS_H

/* No core dump, and no other process of the same user may look into this one: keys are in it. Never
 * fails where it matters: the descriptors of /proc and ptrace are the system's to refuse.
 */
void tt_process_hide_memory(void);

/* Becomes that user, with its group and no other, for good; does nothing where that is so already.
 * Returns NULL, or why not (a static string): then the process may be either, and must end.
 */
const char *tt_process_become(const char *user);

/* Each connection is a descriptor: as many as the system lets us have. */
void tt_process_raise_descriptor_limit(void);

#endif
