"""Others that do a part of it, in the same run: a plain service, a FHIR server, age."""

from benchmarks.peers.peers import SECTION

__all__ = ["SECTION"]
