"""The protocol: states and rules of RFC 6455 and RFC 7692, without I/O, clock, logger, lock or thread."""
