"""Pages that a doctor and a patient use in their own browser, served by a loopback agent that holds the token."""
