# What `receive` and `send` return, as a part of link.pyx: coroutines without a Python frame.
#
# Where the interpreter awaits something that fills the slot `am_send` it needs no exception to get a result out of it,
# which is worth a factor of two on messages that come in bursts. Cython fills it for its own coroutines only, so it is
# set by hand. Python 3.12 and later ask `__next__` while nothing is sent in.
#
# What is never awaited is warned of, as Python does of its own coroutines, in front of the slot `tp_dealloc`: a
# `__dealloc__` would cost every message ten times as much.

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030A0000
    static void wscore_set_am_send(PyTypeObject *type, sendfunc function)
    {
        type->tp_as_async->am_send = function;
    }
    #endif
    static void wscore_copy_am_anext(PyTypeObject *target, PyTypeObject *source)
    {
        target->tp_as_async->am_anext = source->tp_as_async->am_anext;
    }
    static destructor wscore_replace_dealloc(PyTypeObject *type, destructor function)
    {
        destructor before = type->tp_dealloc;
        type->tp_dealloc = function;
        return before;
    }
    static void wscore_warn_of_forgotten(const char *name)
    {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine 'WebSocket.%s' was never awaited", name) < 0)
            PyErr_WriteUnraisable(NULL);
        PyErr_Restore(type, value, traceback);
    }
    """
    ctypedef void (*destructor)(PyObject*) noexcept
    destructor wscore_replace_dealloc(type a_type, destructor function)
    void wscore_warn_of_forgotten(const char* name) noexcept
    void wscore_copy_am_anext(type target, type source)
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    ctypedef PySendResult (*sendfunc)(PyObject*, PyObject*, PyObject**) except PYGEN_ERROR
    void wscore_set_am_send(type a_type, sendfunc function)
    PySendResult PyIter_Send(object iterator, object sent, PyObject** result) except PYGEN_ERROR
    bint Py_IS_TYPE(PyObject* an_object, type a_type)
    int PyObject_GenericSetAttr(object an_object, object name, object value) except -1
    void Py_INCREF(object an_object)
    void Py_DECREF(object an_object)

cdef enum:
    UNMADE  # by `receive` or `send`: there is nothing to await
    FRESH
    ASLEEP  # until a message has come, or the end
    GIVING_WAY  # all is done but that
    PASSING_ON  # to another coroutine, in `inner`
    OVER

cdef object WAKE_UP = Value(None)


@cython.freelist(64)
@cython.no_gc
@cython.auto_pickle(False)
cdef class Awaited:
    """One call that was not awaited yet, or is being awaited."""

    cdef int begin(self) except -1:
        """Returns whether it has to wait, for which `result` is to be yielded; else `result` is what is returned."""
        raise NotImplementedError

    cdef int go_on(self, object sent) except -1:
        """The same, after sleeping."""
        raise NotImplementedError

    cdef int passed(self) except -1:
        """The same, after what was passed on to has returned `result`."""
        return False

    cdef int step(self, object sent) except -1:
        cdef int stage = self.stage
        if stage == FRESH:
            self.stage = OVER
            return self.begin()
        if stage == PASSING_ON:
            return _pass_on(self, sent)
        if stage == OVER:
            raise RuntimeError("this call was awaited already")
        if stage == UNMADE:
            raise TypeError("only receive and send of a WebSocket make what can be awaited")
        self.stage = OVER
        if type(sent) is not Value:
            if stage == ASLEEP:
                self.link.stop_waiting()
                self.link = None
            sent.unwrap()
        if stage == GIVING_WAY:
            self.result, self.inner = self.inner, None
            return False
        return self.go_on(sent)

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.step(None):
            return self.result
        if self.result is None:
            raise StopIteration
        raise StopIteration(self.result)

    def send(self, sent):
        if self.step(sent):
            return self.result
        raise StopIteration(self.result)

    def throw(self, kind, value=None, traceback=None):
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value if traceback is None else value.with_traceback(traceback)

    def close(self):
        """As a coroutine's: whoever awaits it is gone."""
        inner, self.inner = self.inner, None
        if self.stage == ASLEEP:
            self.link.stop_waiting()
        elif self.stage == PASSING_ON:
            inner.close()
        self.stage = OVER
        self.link = None


cdef PySendResult _am_send(PyObject* self, PyObject* sent, PyObject** result) except PYGEN_ERROR:
    cdef Awaited awaited = <Awaited>self
    cdef bint waits
    result[0] = NULL
    waits = awaited.step(<object>sent)
    Py_INCREF(awaited.result)
    result[0] = <PyObject*>awaited.result
    return PYGEN_NEXT if waits else PYGEN_RETURN


cdef int _leave(Awaited self, object returned) except -1:
    """It need not wait, but gives way to other tasks if that is due."""
    if self.link.terms.pace.due():
        self.stage = GIVING_WAY
        self.inner = returned
        self.result = YIELDING
        return True
    self.stage = OVER
    self.result = returned
    return False


cdef int _delegate(Awaited self, object coroutine) except -1:
    self.inner = coroutine
    return _pass_on(self, None)


cdef int _pass_on(Awaited self, object sent) except -1:
    cdef PyObject* result = NULL
    cdef PySendResult outcome
    self.stage = OVER
    outcome = PyIter_Send(self.inner, sent, &result)
    self.result = <object>result
    Py_DECREF(self.result)
    if outcome == PYGEN_RETURN:
        return self.passed()
    self.stage = PASSING_ON
    return True


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
cdef class Receive(Awaited):
    """`receive`, or one step of `async for`."""

    cdef int begin(self) except -1:
        cdef Link link = self.link
        if link.terms.pace.cancelled():
            return _delegate(self, checkpoint())
        if link.is_receiving:
            raise BusyResourceError("another task is receiving from this WebSocket")
        if link.has_message():
            return _leave(self, link.take())
        return _sleep(self)

    cdef int go_on(self, object sent) except -1:
        self.link.is_receiving = False
        if not self.link.has_message():
            return _sleep(self)
        self.result = self.link.take()
        self.link = None
        return False

    def __call__(self, _raise_cancel):
        """Trio's abort function for the task that waits."""
        if self.stage == ASLEEP:
            self.link.receiver = None
        return SUCCEEDED

    cdef int passed(self) except -1:
        """The checkpoint has not raised: somebody has shielded this task meanwhile."""
        return self.begin()


cdef int _sleep(Receive self) except -1:
    cdef Link link = self.link
    self.stage = OVER
    self.link = None  # the trap may know this call for long, whatever becomes of it
    if link.terms.on_message is not None:
        raise BusyResourceError("the messages of this WebSocket go to on_message")
    if link.session._ending is not None:
        try:
            link._fetch()
        except EndOfChannel:
            if self.iterating:
                raise StopAsyncIteration from None
            raise
    link.session._receiving.is_answered = True
    if link.session._receiving.is_paused:
        link.reactor.attend_to(link)
    if link.is_dirty and link.reactor.is_calm:
        # Whoever waits for more has said what there was to say; the peer may have waited for it.
        link.flush()
    link.receiver = link.terms.pace.current_task()
    link.is_receiving = True
    self.link = link
    self.stage = ASLEEP
    # One for all, which Trio asks at once what to call: else each idle connection had one of its own.
    PyObject_GenericSetAttr(link.terms.receive_trap, "abort_func", self)
    self.result = link.terms.receive_trap
    return True


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
cdef class Send(Awaited):
    """`send` without options."""

    cdef int begin(self) except -1:
        cdef Link link = self.link
        if not link.terms.pace.cancelled() and link.terms.is_plain and link.goes_at_once(self.message):
            link.add(self.message)
            return _leave(self, None)
        return _delegate(self, SessionWebSocket.send(link, self.message))


cdef Receive _new_receive(Link link, bint iterating):
    cdef Receive receive = Receive.__new__(Receive)
    receive.stage = FRESH
    receive.link = link
    receive.iterating = iterating
    return receive


cdef Send _new_send(Link link, object message):
    cdef Send send = Send.__new__(Send)
    send.stage = FRESH
    send.link = link
    send.message = message
    return send


def iterate_fast(subclass):
    """Let `async for` find `__anext__` in its slot, where Python puts a detour through its name for subclasses."""
    if not issubclass(subclass, Link):
        raise TypeError("only subclasses of Link have its slots")
    wscore_copy_am_anext(<type>subclass, Link)


cdef destructor plain_dealloc  # of both: they have nothing of their own


cdef void _dealloc(PyObject* self) noexcept:
    if (<Awaited>self).stage == FRESH:
        wscore_warn_of_forgotten(b"receive" if Py_IS_TYPE(self, Receive) else b"send")
    plain_dealloc(self)


plain_dealloc = wscore_replace_dealloc(Receive, _dealloc)
wscore_replace_dealloc(Send, _dealloc)


wscore_set_am_send(Awaited, _am_send)
wscore_set_am_send(Receive, _am_send)
wscore_set_am_send(Send, _am_send)
