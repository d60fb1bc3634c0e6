"""One life of a connection, for every transport: what needs time, queues or limits, and no I/O.

Decides what options there are and what rates mean. It refuses to know sockets, tasks, event loops and clocks: a time is
a number that is handed in.
"""
