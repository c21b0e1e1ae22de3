"""Measurements that answer questions; none of them is a test."""
