"""A fuzzer of all that is read of others' files: `python -m tests.fuzz`."""
