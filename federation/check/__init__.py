"""`medunion check`: every dependency of a node tried once, and what to do about what is wrong."""
