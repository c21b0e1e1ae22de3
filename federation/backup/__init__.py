"""Backup of a node, and its restoration (docs/adr/0017-backup.md)."""
