"""The doctor's desk, as pages: a room, a visit, records, a diagnosis that is read over and signed, emergencies."""
