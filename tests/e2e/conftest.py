"""A served public cloud for the tests of a module, and a function that serves another."""

from tests.e2e.cloud_lab import cloud as lab
from tests.e2e.cloud_lab import serve_cloud

__all__ = ["lab", "serve_cloud"]
