# cython: freethreading_compatible=True
"""A connected socket on the reactor, with TLS where there is TLS.

Decides how bytes move: what the system does not take at once waits in a backlog, in the order of the calls; reading can
pause; our side can end before the peer's (RFC 9112 section 9.6, as in `transport.linger`), and what still comes is
passed over then; a peer that ends TLS without close_notify has ended, no more (as in `transport.tls`). What is
encrypted goes through the standard library's `SSLObject`, on two `MemoryBIO`s, to the end of what has come: bytes
inside of them wake no poller. It refuses to know what the bytes mean, and when anything is due.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t
from libc.string cimport memset

import ssl

from wscore.transport.reactor.engine cimport RECEIVE_SIZE, WSCORE_BROKEN, WSCORE_READ, WSCORE_WRITE, Source

__all__ = ["Tls", "Wire"]

cdef extern from *:
    """
    #include <sys/ioctl.h>
    #include <sys/socket.h>
    #include <sys/types.h>
    #include <sys/uio.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0 /* macOS: a socket option in its place */
    #endif
    static void wscore_close_with_reset(int fd)
    {
        struct linger now = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    /* How many bytes the system has that the peer's has not acknowledged; 0 where it does not say. Of a Unix socket
     * Linux tells how much memory they take. */
    static int wscore_unacknowledged(int fd)
    {
        int count = 0;
    #if defined(__linux__)
        int family = AF_UNSPEC;
        socklen_t size = sizeof family;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0 || family == AF_UNIX)
            return 0;
        return ioctl(fd, TIOCOUTQ, &count) == 0 ? count : 0;
    #elif defined(SO_NWRITE)
        socklen_t size = sizeof count;
        return getsockopt(fd, SOL_SOCKET, SO_NWRITE, &count, &size) == 0 ? count : 0;
    #else
        (void)fd;
        return count;
    #endif
    }
    """
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    int MSG_NOSIGNAL
    int SHUT_WR
    ssize_t recv(int fd, void* buffer, size_t size, int flags) nogil
    ssize_t send(int fd, const void* buffer, size_t size, int flags) nogil
    ssize_t sendmsg(int fd, const msghdr* message, int flags) nogil
    int shutdown(int fd, int how) nogil
    void wscore_close_with_reset(int fd) nogil
    int wscore_unacknowledged(int fd) nogil

cdef enum:
    BUFFERS_AT_ONCE = 64

cdef object WANTS_MORE = ssl.SSLWantReadError
cdef tuple TLS_ENDS = (ssl.SSLZeroReturnError, ssl.SSLEOFError)


@cython.auto_pickle(False)
cdef class Tls:
    """One end of TLS, without I/O. The handshake begins with the first bytes, ours or the peer's."""

    def __cinit__(self, context, bint server_side, server_hostname=None):
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(self.incoming, self.outgoing, server_side, server_hostname)
        self.is_up = False

    def shake_hands(self, received):
        """Go on with the handshake, and return what is to be sent; then `is_done` tells. Raises `ssl.SSLError`, after
        which `leftover` is the alert.
        """
        if received:
            self.incoming.write(received)
        try:
            self.ssl_object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            self.is_up = True
        return self.outgoing.read()

    @property
    def is_done(self):
        """Whether the handshake has succeeded."""
        return self.is_up

    def leftover(self):
        """What is still to be sent after an error."""
        return self.outgoing.read()

    def encrypt(self, data):
        """After the handshake: what is to be sent so that the peer reads `data`. Raises `ssl.SSLError`."""
        self.ssl_object.write(data)
        return self.outgoing.read()

    def decrypt(self, received, Py_ssize_t size):
        """After the handshake: at most `size` bytes of what `received` and what came before say; b"" if that takes
        more, None if the peer has ended. Raises `ssl.SSLError`.
        """
        if received:
            self.incoming.write(received)
        try:
            return self.ssl_object.read(size) or None
        except WANTS_MORE:
            return b""
        except TLS_ENDS:
            return None


@cython.auto_pickle(False)
cdef class Wire(Source):
    """A connected, non-blocking socket. See wire.pxd for what subclasses do."""

    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1:
        raise NotImplementedError

    cdef int ended(self) except -1:
        raise NotImplementedError

    cdef int broken(self) except -1:
        return self.ended()

    cdef int passed_over(self, const uint8_t* data, Py_ssize_t size) except -1:
        return 0

    cdef int cannot_send(self) except -1:
        raise NotImplementedError

    cdef int wrote(self, Py_ssize_t size) except -1:
        return 0

    cdef int closed(self) except -1:
        return 0

    cdef int tls_is_up(self) except -1:
        return 0

    cdef int tls_failed(self, object error) except -1:
        return self.finish()

    cdef int adopt(self, Wire other) except -1:
        """Take over another's socket, and what it had not sent yet."""
        self.take_over(other)
        self.tls, other.tls = other.tls, None
        self.backlog, other.backlog = other.backlog, None
        self.backlog_start = other.backlog_start
        self.backlog_size = other.backlog_size
        self.reading = other.reading
        return 0

    cdef int encrypt(self, Tls tls, bytes rest) except -1:
        """Speak TLS from here on; `rest` has come of it already."""
        self.tls = tls
        if not rest:
            return 0
        tls.incoming.write(rest)
        return _go_on_encrypted(self)

    # Receiving

    cdef int ready(self, int events) except -1:
        if events & WSCORE_WRITE:
            _write_backlog(self)
        if self.fd < 0:
            return 0
        if self.reading and events & (WSCORE_READ | WSCORE_BROKEN):
            return _receive(self)
        if events & WSCORE_BROKEN:
            # It would be reported again and again; who reads on, or writes, is told then.
            if self.backlog is not None:
                _write_backlog(self)
            if self.fd >= 0:
                self.ask_for(0)
        return 0

    cdef int set_reading(self, bint reading) except -1:
        self.reading = reading
        return _ask_again(self)

    # Sending

    cdef Py_ssize_t push(self, const uint8_t* data, Py_ssize_t size) except -2:
        """Send bytes that are not encrypted, as many as the system takes now; the caller keeps the rest.

        Not while there is a backlog. -1 if the connection is broken; `cannot_send` was called then.
        """
        cdef ssize_t count = send(self.fd, data, size, MSG_NOSIGNAL)
        if count >= 0:
            return count
        if errno == EAGAIN or errno == EINTR:
            return 0
        self.cannot_send()
        return -1

    cdef int push_all(self, list buffers) except -1:
        """Send all of these, as soon as the system takes them; with TLS, encrypted."""
        if self.tls is not None and self.tls.is_up:
            try:
                for buffer in buffers:
                    self.tls.ssl_object.write(buffer)
            except ssl.SSLError:
                # TLS has ended on our side, or wants to read first, which the peer may put off for ever.
                return _cannot_send(self)
            return _push_raw(self, [self.tls.outgoing.read()])
        return _push_raw(self, buffers)

    # Ends

    cdef int end_sending(self, bint shuts) except -1:
        """End TLS on our side at once, since there are peers that end TCP only when they have close_notify; what comes
        from now on is passed over. With `shuts` our side of the socket ends, too, as soon as all has left.
        """
        self.shuts = shuts
        if not self.discards:
            self.discards = True
            if self.tls is not None and self.tls.is_up:
                _say_goodbye(self)
        return _shut_when_sent(self) if self.fd >= 0 else 0

    cdef int reset(self) except -1:
        """Close so that the peer gets a reset, and what the system still has to send is forgotten."""
        if self.fd >= 0:
            wscore_close_with_reset(self.fd)
        return self.finish()

    cdef int finish(self) except -1:
        """Close now."""
        if self.fd < 0:
            return 0
        self.backlog = None
        self.backlog_size = 0
        self.close_fd()
        return self.closed()

    cdef Py_ssize_t unacknowledged(self) noexcept:
        """How many of the bytes that have left the peer's system does not have yet, as far as is known."""
        cdef int count = wscore_unacknowledged(self.fd)
        # Our end counts as a byte.
        return count - 1 if self.has_shut and count > 0 else count

    cdef int drain_tls(self) except -1:
        """Decrypt what has come, as long as somebody wants it."""
        if self.drains:
            return 0  # whoever does goes on
        self.drains = True
        try:
            return _drain(self, self.tls)
        finally:
            self.drains = False


cdef int _drain(Wire self, Tls tls) except -1:
    cdef Py_ssize_t count
    while self.reading and not self.discards and self.fd >= 0:
        if not tls.incoming.pending and not tls.ssl_object.pending():
            break
        try:
            count = tls.ssl_object.read(
                RECEIVE_SIZE, PyMemoryView_FromMemory(<char*>self.reactor.plain, RECEIVE_SIZE, PyBUF_WRITE)
            )
        except WANTS_MORE:
            break
        except TLS_ENDS:
            count = 0
        except ssl.SSLError:
            return _break_tls(self)
        if count == 0:
            return _end(self)
        self.received(self.reactor.plain, count)
        if count < RECEIVE_SIZE and not tls.incoming.pending:
            break  # a record never has more: there is none inside
    return _push_waiting_tls(self)


cdef int _ask_again(Wire self) except -1:
    cdef int interest = 0
    if self.reading:
        interest |= WSCORE_READ
    if self.backlog is not None:
        interest |= WSCORE_WRITE
    return self.ask_for(interest)


cdef int _receive(Wire self) except -1:
    cdef ssize_t count = recv(self.fd, self.reactor.buffer, RECEIVE_SIZE, 0)
    if count > 0:
        if self.discards:
            return self.passed_over(self.reactor.buffer, count)
        if self.tls is None:
            return self.received(self.reactor.buffer, count)
        return _receive_encrypted(self, count)
    if count == 0:
        return _end(self)
    if errno == EAGAIN or errno == EINTR:
        return 0
    self.at_end = True
    self.set_reading(False)
    return self.broken()


cdef int _end(Wire self) except -1:
    self.at_end = True
    self.set_reading(False)
    return self.ended()


cdef int _receive_encrypted(Wire self, Py_ssize_t count) except -1:
    self.tls.incoming.write(PyMemoryView_FromMemory(<char*>self.reactor.buffer, count, PyBUF_READ))
    return _go_on_encrypted(self)


cdef int _go_on_encrypted(Wire self) except -1:
    """What has come is in the BIO: shake hands, or decrypt it."""
    if not self.tls.is_up:
        try:
            _push_raw(self, [self.tls.shake_hands(b"")])
        except ssl.SSLError as error:
            _push_waiting_tls(self)
            return self.tls_failed(error) if self.fd >= 0 else 0
        if not self.tls.is_up or self.fd < 0:
            return 0
        self.tls_is_up()
    return self.drain_tls()


cdef int _break_tls(Wire self) except -1:
    """The peer broke a rule of TLS: it is told, and nothing that it sends can be read any more."""
    _push_waiting_tls(self)
    return _end(self) if self.fd >= 0 else 0


cdef int _push_waiting_tls(Wire self) except -1:
    if self.fd >= 0 and self.tls is not None and self.tls.outgoing.pending:
        _push_raw(self, [self.tls.outgoing.read()])
    return 0


cdef int _say_goodbye(Wire self) except -1:
    """Send our close_notify; the peer's need not be waited for."""
    try:
        self.tls.ssl_object.unwrap()
    except (ssl.SSLError, OSError, ValueError):
        pass
    return _push_waiting_tls(self)


cdef int _push_raw(Wire self, list buffers) except -1:
    cdef bint waits = self.backlog is not None
    for buffer in buffers:
        if len(buffer):
            if self.backlog is None:
                self.backlog = []
                self.backlog_start = 0
            self.backlog.append(buffer)
            self.backlog_size += len(buffer)
    if not waits and self.backlog is not None:
        return _write_backlog(self)
    return 0


cdef int _write_backlog(Wire self) except -1:
    """Send as much of it as the system takes."""
    cdef ssize_t count
    while self.backlog is not None:
        count = _send_some(self)
        if count < 0:
            if errno == EINTR:
                continue
            if errno == EAGAIN:
                _ask_again(self)
                return self.wrote(0)
            return _cannot_send(self)
        _drop_sent(self, count)
        self.wrote(count)
        if self.fd < 0:
            return 0
    _ask_again(self)
    return _shut_when_sent(self)


cdef ssize_t _send_some(Wire self) except? -1:
    cdef iovec vector[BUFFERS_AT_ONCE]
    cdef msghdr message
    cdef Py_ssize_t count = min(len(self.backlog), <Py_ssize_t>BUFFERS_AT_ONCE)
    cdef Py_ssize_t i
    cdef bytes buffer
    for i in range(count):
        buffer = self.backlog[i]
        vector[i].iov_base = PyBytes_AS_STRING(buffer)
        vector[i].iov_len = PyBytes_GET_SIZE(buffer)
    vector[0].iov_base = <char*>vector[0].iov_base + self.backlog_start
    vector[0].iov_len -= self.backlog_start
    memset(&message, 0, sizeof(message))
    message.msg_iov = vector
    message.msg_iovlen = count
    return sendmsg(self.fd, &message, MSG_NOSIGNAL)


cdef int _drop_sent(Wire self, Py_ssize_t count) except -1:
    cdef Py_ssize_t done = 0
    self.backlog_size -= count
    count += self.backlog_start
    while done < len(self.backlog) and count >= len(self.backlog[done]):
        count -= len(self.backlog[done])
        done += 1
    self.backlog_start = count
    if done == len(self.backlog):
        self.backlog = None
    elif done:
        del self.backlog[:done]
    return 0


cdef int _cannot_send(Wire self) except -1:
    self.backlog = None
    self.backlog_size = 0
    _ask_again(self)
    return self.cannot_send()


cdef int _shut_when_sent(Wire self) except -1:
    if self.shuts and self.backlog is None and not self.has_shut:
        self.has_shut = True
        shutdown(self.fd, SHUT_WR)
    return 0
