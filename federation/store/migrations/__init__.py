"""Alembic migrations of the store: packaged, and run by `open_database`."""
