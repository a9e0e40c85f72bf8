"""Compare an artifact with its checkpoint, on the written file, independently of the export.

`validate` judges a float32 artifact by cases, `accuracy` the accuracy drop of a variant.
"""
