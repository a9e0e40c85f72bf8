"""Artifacts to the Hub: `push` tells the story of one push, `batch` that of a manifest's, `rights` what is found out before."""
