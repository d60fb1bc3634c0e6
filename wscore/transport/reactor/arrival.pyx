# cython: freethreading_compatible=True
"""Connections that are no WebSockets yet: listening sockets, and what comes in.

Decides how connections are accepted, how many in a turn, and what happens when the system has no descriptors left.
What their first bytes mean is decided by a guest, an object of the caller's for each connection (see `Guest` in
arrival.pyi), whose errors end that connection only.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO, errno
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t

import os
import socket

from trio import current_time

from wscore.transport.addresses import limit_unsent
from wscore.transport.linger import DISCARD_LIMIT, LINGER_TIME

from wscore.transport.reactor.engine cimport WSCORE_EXCLUSIVE, WSCORE_READ, Reactor, Source
from wscore.transport.reactor.wire cimport Tls, Wire

__all__ = ["Arrival", "Listening"]

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <stddef.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    #include <unistd.h>
    /* Whom a connection is from, which a socket that was reset already tells nowhere else. */
    struct wscore_peer { struct sockaddr_storage address; socklen_t size; };
    static int wscore_accept(int fd, struct wscore_peer *peer)
    {
        memset(&peer->address, 0, sizeof peer->address);
        peer->size = sizeof peer->address;
    #ifdef __linux__
        return accept4(fd, (struct sockaddr *)&peer->address, &peer->size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    #else
        int accepted = accept(fd, (struct sockaddr *)&peer->address, &peer->size);
        if (accepted >= 0) {
            int on = 1;
            fcntl(accepted, F_SETFD, FD_CLOEXEC);
            fcntl(accepted, F_SETFL, fcntl(accepted, F_GETFL) | O_NONBLOCK);
    #ifdef SO_NOSIGPIPE
            setsockopt(accepted, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
    #endif
            (void)on;
        }
        return accepted;
    #endif
    }
    static void wscore_local(int fd, struct wscore_peer *local)
    {
        memset(&local->address, 0, sizeof local->address);
        local->size = sizeof local->address;
        if (getsockname(fd, (struct sockaddr *)&local->address, &local->size) < 0)
            local->address.ss_family = AF_UNSPEC;
    }
    /* As `getpeername` of the module socket has it. */
    static PyObject *wscore_address(const struct wscore_peer *peer)
    {
        char text[INET6_ADDRSTRLEN];
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer->address;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer->address;
        const struct sockaddr_un *un = (const struct sockaddr_un *)&peer->address;
        switch (peer->address.ss_family) {
        case AF_INET:
            inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
            return Py_BuildValue("(si)", text, (int)ntohs(v4->sin_port));
        case AF_INET6:
            inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
            return Py_BuildValue("(siII)", text, (int)ntohs(v6->sin6_port), (unsigned)ntohl(v6->sin6_flowinfo),
                                 (unsigned)v6->sin6_scope_id);
        case AF_UNIX:
    #ifdef __linux__
            if (peer->size > offsetof(struct sockaddr_un, sun_path) && un->sun_path[0] == 0)
                return PyBytes_FromStringAndSize(un->sun_path, peer->size - offsetof(struct sockaddr_un, sun_path));
    #endif
            return PyUnicode_DecodeFSDefaultAndSize(un->sun_path, strnlen(un->sun_path, sizeof un->sun_path));
        default:
            Py_RETURN_NONE;
        }
    }
    """
    struct wscore_peer:
        pass
    int wscore_accept(int fd, wscore_peer* peer) nogil
    void wscore_local(int fd, wscore_peer* local) nogil
    object wscore_address(const wscore_peer* peer)

cdef enum:
    ACCEPTED_AT_ONCE = 64

cdef int64_t MOST_DISCARDED = DISCARD_LIMIT


@cython.auto_pickle(False)
cdef class Listening(Source):
    """A listening socket. `take(fd, local, remote)` is called for each connection, with the addresses of both its ends,
    `is_full()` before, and `exhausted(error)`, which returns for how many seconds to pause, if the system has run out
    of something.
    """

    cdef object socket
    cdef object take
    cdef object is_full
    cdef object exhausted
    cdef object at_failure

    def __cinit__(self, Reactor reactor not None, sock, *, take, is_full, exhausted, at_failure):
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Those that are accepted inherit it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit_unsent(sock)
        sock.setblocking(False)
        self.take = take
        self.is_full = is_full
        self.exhausted = exhausted
        self.at_failure = at_failure
        self.open(reactor, sock.detach(), WSCORE_READ | WSCORE_EXCLUSIVE)

    def go_on(self):
        """Accept again, if it has paused for want of room."""
        if self.fd >= 0 and self.deadline == INFINITY:
            self.ask_for(WSCORE_READ | WSCORE_EXCLUSIVE)

    def close(self):
        """Accept no more."""
        self.close_fd()

    cdef int ready(self, int events) except -1:
        cdef int left = ACCEPTED_AT_ONCE
        cdef int fd
        cdef wscore_peer peer, local
        while left and self.fd >= 0:
            if self.is_full():
                return self.ask_for(0)
            fd = wscore_accept(self.fd, &peer)
            if fd >= 0:
                wscore_local(fd, &local)
                self.take(fd, wscore_address(&local), wscore_address(&peer))
                left -= 1
            elif errno == EAGAIN:
                return 0
            elif errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                return _run_out(self, errno)
            elif errno not in (EINTR, ECONNABORTED, EPROTO, EPERM):
                raise OSError(errno, os.strerror(errno))
        return 0

    cdef int expired(self, double now) except -1:
        self.ask_for(WSCORE_READ | WSCORE_EXCLUSIVE)
        return 0

    cdef int failed(self, object error) except -1:
        self.close_fd()
        self.at_failure(error)
        return 0


cdef int _run_out(Listening self, int error) except -1:
    pause = self.exhausted(OSError(error, os.strerror(error)))
    self.ask_for(0)
    return self.set_deadline(current_time() + <double>pause)


@cython.auto_pickle(False)
cdef class Arrival(Wire):
    """A connected socket that nobody knows much of yet. Without a guest, it only carries the socket to a `Link`."""

    cdef object guest
    cdef bint lingers
    cdef int64_t discarded

    def __cinit__(self, Reactor reactor not None, int fd, Tls tls=None, guest=None):
        self.tls = tls
        self.guest = guest
        self.reading = guest is not None
        self.open(reactor, fd, WSCORE_READ if self.reading else 0)

    def call_at(self, double when):
        """Have the guest's `expired` called then."""
        self.set_deadline(when)

    def pause(self):
        """Read no more for now."""
        self.set_reading(False)

    @property
    def is_encrypted(self):
        """Whether TLS has come about; None where there is none."""
        return None if self.tls is None else self.tls.is_up

    def start_tls(self, Tls tls not None, bytes rest not None):
        """Speak TLS from here on; `rest` has come of it already."""
        if self.fd >= 0:
            self.encrypt(tls, rest)

    def say(self, bytes data not None):
        """Send `data`, as soon as the system takes it."""
        if self.fd >= 0 and data:
            self.push_all([data])

    def say_last(self, bytes data not None):
        """Send `data`, then close, patiently."""
        if self.fd < 0:
            return
        self.push_all([data])
        if self.fd >= 0:
            _linger(self)

    def close(self):
        """Close now."""
        self.finish()

    def cut(self):
        """Close now, with a reset."""
        self.reset()

    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1:
        self.guest.received(PyBytes_FromStringAndSize(<const char*>data, size))
        return 0

    cdef int passed_over(self, const uint8_t* data, Py_ssize_t size) except -1:
        self.discarded += size
        return self.finish() if self.discarded >= MOST_DISCARDED else 0

    cdef int wrote(self, Py_ssize_t size) except -1:
        if self.lingers and self.at_end and self.backlog is None:
            self.finish()
        return 0

    cdef int ended(self) except -1:
        if self.lingers:
            # What was said last may still be on its way out.
            return self.finish() if self.backlog is None else 0
        if self.tls is None or self.tls.is_up:
            self.guest.received(b"")
            return 0
        self.guest.tls_failed(ConnectionResetError("the connection broke during the TLS handshake"))
        return self.finish()

    cdef int cannot_send(self) except -1:
        return self.finish()

    cdef int tls_is_up(self) except -1:
        self.guest.tls_is_up()
        return 0

    cdef int tls_failed(self, object error) except -1:
        self.guest.tls_failed(error)
        return _linger(self)

    cdef int expired(self, double now) except -1:
        if self.lingers:
            return self.finish()
        self.guest.expired()
        return 0

    cdef int closed(self) except -1:
        guest, self.guest = self.guest, None
        if guest is not None:
            guest.closed()
        return 0

    cdef int failed(self, object error) except -1:
        guest = self.guest
        try:
            if guest is not None:
                guest.failed(error)
        finally:
            self.finish()
        return 0


cdef int _linger(Arrival self) except -1:
    """End sending, and discard what still comes, until the peer has ended or its time is over."""
    self.lingers = True
    self.set_deadline(current_time() + LINGER_TIME)
    self.end_sending(True)
    if self.fd < 0 or self.at_end and self.backlog is None:
        return self.finish()
    return self.set_reading(not self.at_end)
