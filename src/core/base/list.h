/* list.h - an intrusive doubly linked list: the links live in the objects, so that linking never
 * allocates and removing is O(1) without knowing which list it is.
 *
 * The list owns nothing. An object must leave its list before its memory goes away. A node of all
 * zeroes is in no list. One thread at a time per list.
 */
#ifndef TT_CORE_BASE_LIST_H
#define TT_CORE_BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

/* The object whose member `member` is at `ptr`. */
#define TT_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct tt_list_node {
    struct tt_list_node *prev; /* both NULL: in no list */
    struct tt_list_node *next;
};

/* A ring through its own node; it must not be moved or copied in memory once it is initialised. */
struct tt_list {
    struct tt_list_node head;
};

/* Visits the nodes of a list from front to back. The node visited must stay in the list until the
 * step is over; to take nodes out on the way, pop them or keep the next one yourself.
 */
#define TT_LIST_FOR_EACH(node, list)                                                               \
    for (struct tt_list_node *node = tt_list_first(list); node; node = tt_list_next((list), node))

static inline void tt_list_init(struct tt_list *l)
{
    l->head.prev = &l->head;
    l->head.next = &l->head;
}

static inline bool tt_list_empty(const struct tt_list *l)
{
    return l->head.next == &l->head;
}

/* Whether the node is in some list. */
static inline bool tt_list_linked(const struct tt_list_node *n)
{
    return n->next != NULL;
}

/* Links n, which is in no list, before `at`, which is in one (or is a list's head). */
static inline void tt_list_insert_before(struct tt_list_node *at, struct tt_list_node *n)
{
    assert(!tt_list_linked(n));
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void tt_list_push_back(struct tt_list *l, struct tt_list_node *n)
{
    tt_list_insert_before(&l->head, n);
}

static inline void tt_list_push_front(struct tt_list *l, struct tt_list_node *n)
{
    tt_list_insert_before(l->head.next, n);
}

/* Takes n out of its list; nothing happens when it is in none. */
static inline void tt_list_remove(struct tt_list_node *n)
{
    if (!tt_list_linked(n))
        return;
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = NULL;
    n->next = NULL;
}

/* The first node, or NULL. */
static inline struct tt_list_node *tt_list_first(const struct tt_list *l)
{
    return tt_list_empty(l) ? NULL : l->head.next;
}

/* The last node, or NULL. */
static inline struct tt_list_node *tt_list_last(const struct tt_list *l)
{
    return tt_list_empty(l) ? NULL : l->head.prev;
}

/* The node after n, which is in l; or NULL. */
static inline struct tt_list_node *tt_list_next(const struct tt_list *l,
                                                const struct tt_list_node *n)
{
    return n->next == &l->head ? NULL : n->next;
}

/* Takes out the first node and returns it, or NULL. */
static inline struct tt_list_node *tt_list_pop_front(struct tt_list *l)
{
    struct tt_list_node *n = tt_list_first(l);
    if (n)
        tt_list_remove(n);
    return n;
}

/* Moves all nodes of `from` to the back of `to`, in their order. */
static inline void tt_list_append_all(struct tt_list *to, struct tt_list *from)
{
    if (tt_list_empty(from))
        return;
    from->head.next->prev = to->head.prev;
    from->head.prev->next = &to->head;
    to->head.prev->next = from->head.next;
    to->head.prev = from->head.prev;
    tt_list_init(from);
}

#endif
