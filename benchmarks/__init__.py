"""What the codec costs, with other libraries measured beside it in the same run; README.md says how to run it."""
