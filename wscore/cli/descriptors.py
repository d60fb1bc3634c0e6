"""How many files the process may have open: a connection takes one, and the usual limit is there for `select`."""


def raise_descriptor_limit() -> bool:
    """Raise the soft limit of open files to the hard one; False if the system has one and left it as it is."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return True
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS reports a hard limit that it does not accept
        return False
    return True
