"""Does the artifact do what the checkpoint does? Measured on the written file, independently of how it was made."""

from converter.validation.validate import validate

__all__ = ["validate"]
