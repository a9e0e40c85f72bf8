"""Does the artifact do what the checkpoint does? Measured on the written file, independently of how it was made.

`validate` judges a float32 artifact case by case, `accuracy` what a variant of less precision loses on text.
"""
