"""Rotation of a party's keys, a module for each kind of party (docs/adr/0018-rotation.md)."""
