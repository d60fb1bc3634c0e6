/* What the reactor asks of the system: which descriptors are ready. One file for each system implements it.
 *
 * A poller is level-triggered: a descriptor that stays ready is reported again. Every descriptor is added with a token,
 * which comes back with its events. All functions return 0, or -1 with errno set. Nothing here needs the GIL.
 */

#ifndef WSCORE_POLLER_H
#define WSCORE_POLLER_H

#include <stdint.h>

enum {
    WSCORE_READ = 1,
    WSCORE_WRITE = 2,
    /* Reported only, asked for or not: the peer is gone in both directions, or an error waits. Whoever asks for reading
     * alone may get WSCORE_READ in its place; then it is `recv` that tells. */
    WSCORE_BROKEN = 4,
    /* Asked for only, and never changed: of several processes that wait for it directly, one is woken. Where a process
     * waits for the poller's own descriptor by another poller, as Trio does, each is woken all the same. */
    WSCORE_EXCLUSIVE = 8,
};

typedef struct {
    uint64_t token;
    int events;
} wscore_ready;

typedef struct {
    int fd;     /* readable when something is ready, or after wscore_poller_wake */
    int alarm;  /* what wscore_poller_wake uses, if it needs a descriptor */
} wscore_poller;

/* The token that is reported after wscore_poller_wake, once however often it was called. */
#define WSCORE_ALARM UINT64_MAX

int wscore_poller_open(wscore_poller *poller);
void wscore_poller_close(wscore_poller *poller);
int wscore_poller_add(wscore_poller *poller, int fd, int events, uint64_t token);
/* `before` is what was asked for last, `token` the one that it was added with. */
int wscore_poller_modify(wscore_poller *poller, int fd, int before, int events, uint64_t token);
int wscore_poller_remove(wscore_poller *poller, int fd, int before);
int wscore_poller_wake(wscore_poller *poller);
/* Does not wait; returns how many are ready, `most` at most. */
int wscore_poller_look(wscore_poller *poller, wscore_ready *ready, int most);

#endif
