"""The session, compiled from the plain modules of the same names; here stand their types. `wscore.session` chooses."""
