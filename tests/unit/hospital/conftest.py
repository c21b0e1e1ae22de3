"""A hospital's parts on real stores and tokens, not serving."""

from tests.hospital_lab import lab

__all__ = ["lab"]
