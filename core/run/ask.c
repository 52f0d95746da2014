/* SPDX-License-Identifier: MIT */
/* ask.c - requests to the engine with one reply each, and events that have none. */
#include <string.h>

#include "core/run/run.h"

/* A request that is waited for; on the stack of who waits. */
struct dray_reply {
    struct dray_reply *next;
    uint64_t id;
    json_t *message;
};

int dray_run_cancelled(const struct dray_run *run)
{
    return __atomic_load_n(&run->cancelled, __ATOMIC_RELAXED);
}

void dray_run_tell(struct dray_run *run, json_t *event)
{
    struct dray_error ignored = {0};

    /* An engine that is gone is noticed where its pipe is read; an event has nobody else to tell.
     */
    if (dray_pipe_send(run->pipe, event, &ignored) != 0)
        return;
}

static void forget(struct dray_run *run, struct dray_reply *waiting)
{
    for (struct dray_reply **link = &run->replies; *link; link = &(*link)->next) {
        if (*link == waiting) {
            *link = waiting->next;
            return;
        }
    }
}

int dray_run_ask(struct dray_run *run, json_t *request, json_t **ret_reply,
                 struct dray_error *error)
{
    struct dray_reply waiting = {0};

    if (!request)
        return dray_fail_memory(error);
    pthread_mutex_lock(&run->lock);
    waiting.id = ++run->next_request;
    waiting.next = run->replies;
    run->replies = &waiting;
    pthread_mutex_unlock(&run->lock);

    int result = json_object_set_new(request, "id", json_integer((json_int_t)waiting.id)) == 0
                     ? dray_pipe_send(run->pipe, json_incref(request), error)
                     : dray_fail_memory(error);
    json_decref(request);
    pthread_mutex_lock(&run->lock);
    while (result == 0 && !waiting.message)
        pthread_cond_wait(&run->changed, &run->lock);
    forget(run, &waiting);
    pthread_mutex_unlock(&run->lock);
    if (result != 0)
        return result;
    const json_t *refusal = json_object_get(waiting.message, "error");
    if (refusal) {
        dray_error_from_json(error, refusal);
        json_decref(waiting.message);
        return error->class_;
    }
    *ret_reply = waiting.message;
    return 0;
}

void dray_run_reply(struct dray_run *run, json_t *message)
{
    uint64_t id = (uint64_t)json_integer_value(json_object_get(message, "reply"));

    pthread_mutex_lock(&run->lock);
    for (struct dray_reply *waiting = run->replies; waiting; waiting = waiting->next) {
        if (waiting->id == id && !waiting->message) {
            waiting->message = message;
            message = NULL;
            break;
        }
    }
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    json_decref(message);
}
