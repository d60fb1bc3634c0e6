"""Whole servers under load: a server on one core, a load generator in C on another; ../README.md says how to run it."""
