#include "net/lead.h"

#include <assert.h>

/* --- a thread of the program --- */

static bool may_lead(const struct tt_loop *w)
{
    return w->threaded && !w->lead.taken && !w->calls_back && !w->stopping;
}

static void step_down(struct tt_loop *w, bool soon_back)
{
    struct tt_leadership *l = &w->lead;
    l->taken = false;
    l->by_program = false;
    l->leader = NULL;
    l->vacant = !soon_back;
    if (l->unwatched || l->vacant)
        (void)pthread_cond_signal(&l->change);
}

/* Until woken, or until callbacks came to the loop: then its own thread must lead. */
static void lead(struct tt_loop *w, const struct tt_waiter *self)
{
    w->lead.taken = true;
    w->lead.by_program = true;
    w->lead.vacant = false;
    w->lead.leader = self;
    w->lead.stints++;
    tt_worker_finish_turn(w);
    while (!self->woken && !w->calls_back)
        tt_worker_take_turn(w);
    step_down(w, self->prompt && self->woken);
}

void tt_lead_until_woken(struct tt_loop *w, struct tt_list *waiters, uint64_t *left_us)
{
    const uint64_t now_us = tt_worker_now_us();
    struct tt_waiter self = {.prompt = now_us - *left_us < TT_LEAD_GRACE_US && !w->calls_back};

    assert(!tt_worker_is_callback(w));
    w->lead.answering = false; /* it does not leave, but waits again */
    (void)tt_worker_init_cond(&self.cond);
    tt_list_push_back(waiters, &self.node);
    if (may_lead(w))
        lead(w, &self);
    else
        tt_worker_hand_over(w);
    while (!self.woken)
        (void)tt_worker_sleep(w, &self.cond, TT_NEVER);
    (void)pthread_cond_destroy(&self.cond);
    *left_us = tt_worker_now_us();
}

void tt_lead_woke(struct tt_loop *w, const struct tt_waiter *waiter)
{
    w->lead.expected |= waiter->prompt;
    w->lead.answering |= waiter->prompt && waiter == w->lead.leader;
}

bool tt_lead_leave_for_answer(struct tt_loop *w, struct tt_chore *chore)
{
    if (!w->lead.answering)
        return false;
    if (!tt_list_linked(&chore->node))
        tt_list_push_back(&w->lead.answers, &chore->node);
    return true;
}

bool tt_lead_is_taken(const struct tt_loop *w)
{
    return atomic_load_explicit(&w->lead.taken, memory_order_relaxed);
}

void tt_lead_go_on(struct tt_loop *w)
{
    if (w->lead.taken || w->lead.vacant)
        return;
    w->lead.vacant = true;
    (void)pthread_cond_signal(&w->lead.change);
}

/* --- the loop's own thread --- */

static void lead_until_others_come(struct tt_loop *w)
{
    struct tt_leadership *l = &w->lead;
    l->taken = true;
    l->vacant = false;
    l->expected = false;
    tt_worker_finish_turn(w);
    while (!tt_worker_is_over(w) && !l->expected)
        tt_worker_take_turn(w);
    l->taken = false;
}

/* Until a grace has passed in which no thread of the program began to lead. */
static void watch(struct tt_loop *w)
{
    struct tt_leadership *l = &w->lead;
    uint64_t seen;
    do {
        seen = l->stints;
        const uint64_t until_us = tt_deadline_after(tt_worker_now_us(), TT_LEAD_GRACE_US);
        while (!l->vacant && !w->stopping && tt_worker_sleep(w, &l->change, until_us))
            continue;
    } while (l->stints != seen && !l->vacant && !w->stopping);
}

static void sleep_while_led(struct tt_loop *w)
{
    struct tt_leadership *l = &w->lead;
    l->unwatched = true;
    while (l->taken && !w->stopping)
        (void)tt_worker_sleep(w, &l->change, TT_NEVER);
    l->unwatched = false;
}

void tt_lead_by_default(struct tt_loop *w)
{
    while (!tt_worker_is_over(w)) {
        lead_until_others_come(w);
        do {
            watch(w);
            if (w->lead.taken)
                sleep_while_led(w);
            else
                break;
        } while (!w->lead.vacant && !w->stopping);
    }
}
