"""A hospital: its records in sessions with doctors, the relay for consultations, the maintenance behind them."""
