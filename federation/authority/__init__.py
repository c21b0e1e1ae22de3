"""A medical authority, which says who is a doctor."""
