"""A hospital over TLS for each test."""

from tests.hospital_lab import client, lab

__all__ = ["client", "lab"]
