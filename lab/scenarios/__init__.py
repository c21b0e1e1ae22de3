"""The scenarios; importing this package adds them all, in the order in which they are played."""

from lab.scenarios import visits, links, crashes, clocks, ledger  # noqa: I001 - the order is that of the play

__all__ = ["clocks", "crashes", "ledger", "links", "visits"]
