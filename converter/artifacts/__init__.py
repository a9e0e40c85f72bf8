"""The artifact store: which artifacts are up to date, how files are staged and installed, and the log of a job."""
