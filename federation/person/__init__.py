"""Doctors and patients: the clients of the public cloud, of relays and of hospitals, and what they keep."""
