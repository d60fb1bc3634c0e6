/* What poller.h promises, of whichever file implements it.
 *
 * A program of its own, so that it also runs under sanitizers, and over kqueue on Linux where there is a libkqueue. What
 * happens between two sockets of one machine is there at once; where it need not be, the program waits for the poller's
 * descriptor, as Trio does. It exits with 1 at the first promise that is not kept. */
#include "poller.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK(condition) ((condition) ? (void)0 : broken_promise(#condition, __LINE__))

enum { MOST = 16, PATIENCE_MS = 20000 };

static const char *name;

static void broken_promise(const char *condition, int line)
{
    printf("%s: line %d: not %s (errno %d)\n", name, line, condition, errno);
    exit(1);
}

/* Sockets */

typedef struct {
    int ours, theirs;
} Pair;

static Pair new_pair(void)
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    return (Pair){fds[0], fds[1]};
}

static void close_pair(Pair pair)
{
    close(pair.ours);
    close(pair.theirs);
}

static void say(int fd)
{
    CHECK(send(fd, "x", 1, 0) == 1);
}

static void hear(int fd)
{
    char byte;
    CHECK(recv(fd, &byte, 1, 0) == 1);
}

static void fill(int fd)
{
    static const char zeros[1 << 14];
    while (send(fd, zeros, sizeof zeros, 0) > 0) {}
    CHECK(errno == EAGAIN || errno == ENOBUFS);
}

static int new_listener(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)address, size) == 0 && listen(fd, 16) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)address, &size) == 0);
    return fd;
}

static int dial(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
    return fd;
}

/* Looking */

static wscore_poller new_poller(void)
{
    wscore_poller poller;
    CHECK(wscore_poller_open(&poller) == 0);
    return poller;
}

#ifdef WSCORE_LIBKQUEUE

/* Its descriptor is the end of a pipe, which cannot be waited for; between sockets of one machine nobody need wait. */
static int is_readable(wscore_poller *poller, int timeout)
{
    (void)poller;
    return timeout > 0;
}

#else

static int is_readable(wscore_poller *poller, int timeout)
{
    struct pollfd asked = {poller->fd, POLLIN, 0};
    return poll(&asked, 1, timeout) == 1;
}

#endif

/* All that one look reports of a token; whether it comes in one piece is not promised. */
static int reported(wscore_poller *poller, uint64_t token)
{
    wscore_ready ready[MOST];
    int events = 0, count = wscore_poller_look(poller, ready, MOST);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        CHECK(ready[i].token == token && ready[i].events != 0);
        events |= ready[i].events;
    }
    return events;
}

/* Promises */

static void a_new_poller_has_nothing_and_a_closed_one_no_descriptor(void)
{
    wscore_poller poller = new_poller();
    wscore_ready ready[MOST];
    CHECK(fcntl(poller.fd, F_GETFD) & FD_CLOEXEC);
    CHECK(poller.alarm < 0 || fcntl(poller.alarm, F_GETFD) & FD_CLOEXEC);
    CHECK(!is_readable(&poller, 0) && wscore_poller_look(&poller, ready, MOST) == 0);
    wscore_poller_close(&poller);
    CHECK(poller.fd == -1 && poller.alarm == -1);
    errno = ENOTTY;
    wscore_poller_close(&poller);
    CHECK(errno == ENOTTY);
}

static void what_stays_ready_is_reported_again(void)
{
    wscore_poller poller = new_poller();
    Pair pair = new_pair();
    CHECK(wscore_poller_add(&poller, pair.ours, WSCORE_READ, 7) == 0);
    CHECK(reported(&poller, 7) == 0 && !is_readable(&poller, 0));
    say(pair.theirs);
    for (int again = 0; again < 3; again++)
        CHECK(is_readable(&poller, PATIENCE_MS) && reported(&poller, 7) == WSCORE_READ);
    hear(pair.ours);
    CHECK(reported(&poller, 7) == 0 && !is_readable(&poller, 0));
    close_pair(pair);
    wscore_poller_close(&poller);
}

static void only_what_was_asked_for_is_reported(void)
{
    static const int asked[] = {WSCORE_READ, WSCORE_WRITE, WSCORE_READ | WSCORE_WRITE};
    for (int before = 0; before < 3; before++) {
        for (int after = 0; after < 3; after++) {
            /* A generation above, a descriptor below: all 64 bits come back. */
            uint64_t token = UINT64_MAX - 1 - (uint64_t)before;
            wscore_poller poller = new_poller();
            Pair pair = new_pair();
            say(pair.theirs);
            CHECK(wscore_poller_add(&poller, pair.ours, asked[before], token) == 0);
            CHECK(reported(&poller, token) == asked[before]);
            CHECK(wscore_poller_modify(&poller, pair.ours, asked[before], asked[after], token) == 0);
            CHECK(reported(&poller, token) == asked[after]);
            CHECK(wscore_poller_remove(&poller, pair.ours, asked[after]) == 0);
            CHECK(reported(&poller, token) == 0 && !is_readable(&poller, 0));
            CHECK(wscore_poller_add(&poller, pair.ours, asked[before], 5) == 0);
            CHECK(reported(&poller, 5) == asked[before]);
            close_pair(pair);
            wscore_poller_close(&poller);
        }
    }
}

static void a_full_socket_is_reported_when_it_takes_more(void)
{
    wscore_poller poller = new_poller();
    Pair pair = new_pair();
    static char sink[1 << 16];
    fill(pair.ours);
    CHECK(wscore_poller_add(&poller, pair.ours, WSCORE_WRITE, 1) == 0);
    CHECK(reported(&poller, 1) == 0);
    while (recv(pair.theirs, sink, sizeof sink, 0) > 0) {}
    CHECK(is_readable(&poller, PATIENCE_MS) && reported(&poller, 1) == WSCORE_WRITE);
    close_pair(pair);
    wscore_poller_close(&poller);
}

static void mistakes_are_told(void)
{
    wscore_poller poller = new_poller();
    Pair pair = new_pair();
    CHECK(wscore_poller_remove(&poller, pair.ours, WSCORE_READ) == -1 && errno == ENOENT);
    CHECK(wscore_poller_modify(&poller, pair.ours, WSCORE_READ, WSCORE_WRITE, 1) == -1 && errno == ENOENT);
    close_pair(pair);
    CHECK(wscore_poller_add(&poller, pair.ours, WSCORE_READ, 1) == -1 && errno == EBADF);
    wscore_poller_close(&poller);
}

static void *wake_it(void *poller)
{
    CHECK(wscore_poller_wake(poller) == 0);
    return NULL;
}

static void waking_is_reported_once_however_often_it_was_done(void)
{
    wscore_poller poller = new_poller();
    wscore_ready ready[MOST];
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wake_it, &poller) == 0);
    CHECK(is_readable(&poller, PATIENCE_MS));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(wscore_poller_wake(&poller) == 0 && wscore_poller_wake(&poller) == 0);
    CHECK(wscore_poller_look(&poller, ready, MOST) == 1 && ready[0].token == WSCORE_ALARM);
    CHECK(reported(&poller, WSCORE_ALARM) == 0 && !is_readable(&poller, 0));
    CHECK(wscore_poller_wake(&poller) == 0);
    CHECK(is_readable(&poller, PATIENCE_MS) && reported(&poller, WSCORE_ALARM) != 0);
    wscore_poller_close(&poller);
}

static void a_peer_that_only_ends_sending_is_not_broken(void)
{
    wscore_poller poller = new_poller();
    Pair pair = new_pair();
    CHECK(wscore_poller_add(&poller, pair.ours, WSCORE_READ | WSCORE_WRITE, 1) == 0);
    CHECK(shutdown(pair.theirs, SHUT_WR) == 0);
    CHECK(is_readable(&poller, PATIENCE_MS) && reported(&poller, 1) == (WSCORE_READ | WSCORE_WRITE));
    close_pair(pair);
    wscore_poller_close(&poller);
}

static void whoever_waits_to_write_learns_that_the_peer_is_gone(void)
{
    wscore_poller poller = new_poller();
    Pair pair = new_pair();
    fill(pair.ours);
    CHECK(wscore_poller_add(&poller, pair.ours, WSCORE_WRITE, 1) == 0);
    CHECK(reported(&poller, 1) == 0);
    close(pair.theirs);
    CHECK(is_readable(&poller, PATIENCE_MS) && reported(&poller, 1) & WSCORE_BROKEN);
    close(pair.ours);
    wscore_poller_close(&poller);
}

static void whoever_waits_to_read_learns_of_a_reset(void)
{
    wscore_poller poller = new_poller();
    struct sockaddr_in address;
    struct linger at_once = {1, 0};
    char byte;
    int listener = new_listener(&address), theirs = dial(&address), ours = accept(listener, NULL, NULL);
    CHECK(ours >= 0 && wscore_poller_add(&poller, ours, WSCORE_READ, 1) == 0);
    CHECK(setsockopt(theirs, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    close(theirs);
    CHECK(is_readable(&poller, PATIENCE_MS) && reported(&poller, 1) & (WSCORE_READ | WSCORE_BROKEN));
#ifdef WSCORE_LIBKQUEUE
    /* It has asked for the error itself, which takes it away. */
    CHECK(recv(ours, &byte, 1, 0) == 0);
#else
    CHECK(recv(ours, &byte, 1, 0) == -1 && errno == ECONNRESET);
#endif
    close(ours);
    close(listener);
    wscore_poller_close(&poller);
}

static void of_many_that_are_ready_each_has_its_turn(void)
{
    enum { PAIRS = 5, AT_ONCE = 2 };
    wscore_poller poller = new_poller();
    wscore_ready ready[AT_ONCE];
    Pair pairs[PAIRS];
    unsigned seen = 0;
    for (unsigned i = 0; i < PAIRS; i++) {
        pairs[i] = new_pair();
        say(pairs[i].theirs);
        CHECK(wscore_poller_add(&poller, pairs[i].ours, WSCORE_READ, i) == 0);
    }
    for (int look = 0; look < PAIRS; look++) {
        CHECK(wscore_poller_look(&poller, ready, AT_ONCE) == AT_ONCE);
        for (int i = 0; i < AT_ONCE; i++) seen |= 1u << ready[i].token;
    }
    CHECK(seen == (1u << PAIRS) - 1);
    for (int i = 0; i < PAIRS; i++) close_pair(pairs[i]);
    wscore_poller_close(&poller);
}

static void an_exclusive_listener_is_one_that_reports_connections(void)
{
    wscore_poller poller = new_poller();
    struct sockaddr_in address;
    int listener = new_listener(&address), asked = WSCORE_READ | WSCORE_EXCLUSIVE, theirs;
    CHECK(wscore_poller_add(&poller, listener, asked, 1) == 0);
    CHECK(reported(&poller, 1) == 0);
    theirs = dial(&address);
    CHECK(is_readable(&poller, PATIENCE_MS) && reported(&poller, 1) == WSCORE_READ);
    CHECK(wscore_poller_remove(&poller, listener, asked) == 0 && reported(&poller, 1) == 0);
    CHECK(wscore_poller_add(&poller, listener, asked, 2) == 0 && reported(&poller, 2) == WSCORE_READ);
    close(theirs);
    close(listener);
    wscore_poller_close(&poller);
}

#if defined(__linux__) && !defined(WSCORE_LIBKQUEUE)

#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

typedef struct {
    wscore_poller poller;
    pthread_t thread;
    volatile long id;
    volatile int events; /* of the listener, in the look that followed the wait */
    sem_t begun;
} Waiter;

static sem_t woken;

static void *wait_and_look(void *argument)
{
    Waiter *waiter = argument;
    struct epoll_event ignored;
    waiter->id = syscall(SYS_gettid);
    sem_post(&waiter->begun);
    while (epoll_wait(waiter->poller.fd, &ignored, 1, -1) < 0) CHECK(errno == EINTR);
    wscore_ready ready[MOST];
    int count = wscore_poller_look(&waiter->poller, ready, MOST);
    for (int i = 0; i < count; i++)
        if (ready[i].token == 1) waiter->events |= ready[i].events;
    sem_post(&woken);
    return NULL;
}

/* Between `begun` and its wait a thread never sleeps: once it does, it waits. */
static void await_sleep(const Waiter *waiter)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", waiter->id);
    while (state != 'S') {
        FILE *file = fopen(path, "r");
        CHECK(file != NULL && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
        fclose(file);
    }
}

static void of_two_that_wait_for_one_listener_one_is_woken(void)
{
    static Waiter waiters[2];
    struct sockaddr_in address;
    int listener = new_listener(&address), theirs;
    CHECK(sem_init(&woken, 0, 0) == 0);
    for (int i = 0; i < 2; i++) {
        waiters[i].poller = new_poller();
        CHECK(wscore_poller_add(&waiters[i].poller, listener, WSCORE_READ | WSCORE_EXCLUSIVE, 1) == 0);
        CHECK(sem_init(&waiters[i].begun, 0, 0) == 0);
        CHECK(pthread_create(&waiters[i].thread, NULL, wait_and_look, &waiters[i]) == 0);
        while (sem_wait(&waiters[i].begun) < 0) CHECK(errno == EINTR);
        await_sleep(&waiters[i]);
    }
    theirs = dial(&address);
    while (sem_wait(&woken) < 0) CHECK(errno == EINTR);
    /* The other one still waits, and hears of the alarm alone. */
    for (int i = 0; i < 2; i++)
        CHECK(wscore_poller_wake(&waiters[i].poller) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(waiters[i].thread, NULL) == 0);
    CHECK((waiters[0].events == WSCORE_READ) + (waiters[1].events == WSCORE_READ) == 1);
    CHECK(waiters[0].events + waiters[1].events == WSCORE_READ);
    for (int i = 0; i < 2; i++) wscore_poller_close(&waiters[i].poller);
    close(theirs);
    close(listener);
}

#endif

#define PROMISE(function) {#function, function}

static const struct {
    const char *name;
    void (*test)(void);
} promises[] = {
    PROMISE(a_new_poller_has_nothing_and_a_closed_one_no_descriptor),
    PROMISE(what_stays_ready_is_reported_again),
    PROMISE(only_what_was_asked_for_is_reported),
    PROMISE(a_full_socket_is_reported_when_it_takes_more),
    PROMISE(mistakes_are_told),
    PROMISE(waking_is_reported_once_however_often_it_was_done),
    PROMISE(a_peer_that_only_ends_sending_is_not_broken),
    PROMISE(whoever_waits_to_write_learns_that_the_peer_is_gone),
    PROMISE(whoever_waits_to_read_learns_of_a_reset),
    PROMISE(of_many_that_are_ready_each_has_its_turn),
    PROMISE(an_exclusive_listener_is_one_that_reports_connections),
#if defined(__linux__) && !defined(WSCORE_LIBKQUEUE)
    PROMISE(of_two_that_wait_for_one_listener_one_is_woken),
#endif
};

int main(void)
{
    for (size_t i = 0; i < sizeof promises / sizeof *promises; i++) {
        name = promises[i].name;
        promises[i].test();
        printf("%s: ok\n", name);
    }
    return 0;
}
