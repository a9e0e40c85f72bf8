"""Checkpoints: named, resolved to a commit or content digest, fetched, and loaded."""
