"""A hospital over TLS for each attack that needs one, on the members of the federation that all tests share; and a cloud."""

from tests.e2e.cloud_lab import cloud, serve_cloud
from tests.hospital_lab import client, lab

__all__ = ["client", "cloud", "lab", "serve_cloud"]
