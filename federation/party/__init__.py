"""A member at home, whoever it is: its directory, keys, epochs, registration, the trust it follows, its audit log."""
