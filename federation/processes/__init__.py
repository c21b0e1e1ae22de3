"""Servers as processes: what serves, its workers, and how one takes over from another (docs/adr/0022-processes.md)."""
