"""Moving a connection's bytes on Trio, with deadlines and flow control."""
