"""Faults planted in good artifacts: `make planted-faults` says which of them validation catches.

A fault is a small surgery on a good artifact (`plant_*.py`), with a witness: an input at which the faulty artifact is wrong and the good
one is right (`witness.py`). A fault that no witness proves is a mistake of the harness, and fails it. `good.py` is the other half:
conversions that are right and must not be refused.
"""
