"""One small server for each library, each the way its documentation writes it. All take the options of `job.py`."""
