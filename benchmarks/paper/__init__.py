"""The paper's Tables 4 and 5, and beside them what this code computes and sends."""

from benchmarks.paper.times import SECTION

__all__ = ["SECTION"]
