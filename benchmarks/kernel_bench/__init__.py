"""A small extension that calls each kernel by name; `python -m benchmarks build` makes it. No wheel contains it."""
