/* The poller on Linux. See epoll(7); EPOLLEXCLUSIVE is there since Linux 4.5. */

#ifdef __linux__

#include "poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 256 };

static uint32_t asked(int events)
{
    return (events & WSCORE_READ ? EPOLLIN : 0u) | (events & WSCORE_WRITE ? EPOLLOUT : 0u) |
           (events & WSCORE_EXCLUSIVE ? EPOLLEXCLUSIVE : 0u);
}

static int reported(uint32_t events)
{
    return (events & EPOLLIN ? WSCORE_READ : 0) | (events & EPOLLOUT ? WSCORE_WRITE : 0) |
           (events & (EPOLLHUP | EPOLLERR) ? WSCORE_BROKEN : 0);
}

static int control(wscore_poller *poller, int operation, int fd, int events, uint64_t token)
{
    struct epoll_event event = {.events = asked(events), .data = {.u64 = token}};
    return epoll_ctl(poller->fd, operation, fd, &event);
}

int wscore_poller_open(wscore_poller *poller)
{
    poller->alarm = -1;
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller->fd < 0)
        return -1;
    poller->alarm = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poller->alarm >= 0 && wscore_poller_add(poller, poller->alarm, WSCORE_READ, WSCORE_ALARM) == 0)
        return 0;
    wscore_poller_close(poller);
    return -1;
}

void wscore_poller_close(wscore_poller *poller)
{
    int error = errno;
    if (poller->alarm >= 0)
        close(poller->alarm);
    if (poller->fd >= 0)
        close(poller->fd);
    poller->fd = poller->alarm = -1;
    errno = error;
}

int wscore_poller_add(wscore_poller *poller, int fd, int events, uint64_t token)
{
    return control(poller, EPOLL_CTL_ADD, fd, events, token);
}

int wscore_poller_modify(wscore_poller *poller, int fd, int before, int events, uint64_t token)
{
    (void)before;
    return control(poller, EPOLL_CTL_MOD, fd, events, token);
}

int wscore_poller_remove(wscore_poller *poller, int fd, int before)
{
    (void)before;
    return control(poller, EPOLL_CTL_DEL, fd, 0, 0);
}

int wscore_poller_wake(wscore_poller *poller)
{
    return eventfd_write(poller->alarm, 1);
}

int wscore_poller_look(wscore_poller *poller, wscore_ready *ready, int most)
{
    struct epoll_event events[MOST_AT_ONCE];
    eventfd_t ignored;
    int count = epoll_wait(poller->fd, events, most < MOST_AT_ONCE ? most : MOST_AT_ONCE, 0);
    if (count < 0)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < count; i++) {
        ready[i].token = events[i].data.u64;
        ready[i].events = reported(events[i].events);
        if (ready[i].token == WSCORE_ALARM)
            eventfd_read(poller->alarm, &ignored);
    }
    return count;
}

#endif
