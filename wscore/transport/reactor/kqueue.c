/* The poller on macOS and the BSDs. See kqueue(2): reading and writing are filters of their own, each added and deleted
 * by itself, and a filter that sees the end reports EV_EOF, with the error of the socket if it has one. There is no
 * exclusive waking; several processes may wake. WSCORE_LIBKQUEUE is for tests on Linux.
 */

#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__) || defined(WSCORE_LIBKQUEUE)

#include "poller.h"

#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 256, ALARM_IDENT = 0 };

#ifdef __NetBSD__
#define AS_DATA(token) ((intptr_t)(token))
#else
#define AS_DATA(token) ((void *)(uintptr_t)(token))
#endif

int wscore_poller_modify(wscore_poller *poller, int fd, int before, int events, uint64_t token)
{
    struct kevent changes[2];
    int count = 0;
    int changed = before ^ events;
    if (changed & WSCORE_READ)
        EV_SET(&changes[count++], fd, EVFILT_READ, events & WSCORE_READ ? EV_ADD : EV_DELETE, 0, 0, AS_DATA(token));
    if (changed & WSCORE_WRITE)
        EV_SET(&changes[count++], fd, EVFILT_WRITE, events & WSCORE_WRITE ? EV_ADD : EV_DELETE, 0, 0, AS_DATA(token));
    return count == 0 ? 0 : kevent(poller->fd, changes, count, NULL, 0, NULL);
}

int wscore_poller_open(wscore_poller *poller)
{
    struct kevent alarm;
    poller->alarm = -1;
    poller->fd = kqueue();
    if (poller->fd < 0)
        return -1;
    EV_SET(&alarm, ALARM_IDENT, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, AS_DATA(WSCORE_ALARM));
    if (fcntl(poller->fd, F_SETFD, FD_CLOEXEC) == 0 && kevent(poller->fd, &alarm, 1, NULL, 0, NULL) == 0)
        return 0;
    wscore_poller_close(poller);
    return -1;
}

void wscore_poller_close(wscore_poller *poller)
{
    int error = errno;
    if (poller->fd >= 0)
        close(poller->fd);
    poller->fd = -1;
    errno = error;
}

int wscore_poller_add(wscore_poller *poller, int fd, int events, uint64_t token)
{
    return wscore_poller_modify(poller, fd, 0, events, token);
}

int wscore_poller_remove(wscore_poller *poller, int fd, int before)
{
    return wscore_poller_modify(poller, fd, before, 0, 0);
}

int wscore_poller_wake(wscore_poller *poller)
{
    struct kevent trigger;
    EV_SET(&trigger, ALARM_IDENT, EVFILT_USER, 0, NOTE_TRIGGER, 0, AS_DATA(WSCORE_ALARM));
    return kevent(poller->fd, &trigger, 1, NULL, 0, NULL);
}

int wscore_poller_look(wscore_poller *poller, wscore_ready *ready, int most)
{
    struct kevent events[MOST_AT_ONCE];
    struct timespec no_time = {0, 0};
    int count = kevent(poller->fd, NULL, 0, events, most < MOST_AT_ONCE ? most : MOST_AT_ONCE, &no_time);
    if (count < 0)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < count; i++) {
        int at_end = events[i].flags & EV_EOF;
        ready[i].events = events[i].filter == EVFILT_WRITE ? WSCORE_WRITE : WSCORE_READ;
        ready[i].token = events[i].filter == EVFILT_USER ? WSCORE_ALARM : (uint64_t)(uintptr_t)events[i].udata;
        if (at_end && (events[i].filter == EVFILT_WRITE || events[i].fflags != 0))
            ready[i].events |= WSCORE_BROKEN;
    }
    return count;
}

#endif
