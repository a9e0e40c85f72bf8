"""Does the artifact do what the checkpoint does? Measured on the written file, independently of how it was made."""

from converter.validation.validate import default_tolerance, validate

__all__ = ["default_tolerance", "validate"]
