"""A hospital's services: its records in sessions with doctors, the relay for consultations, the upkeep behind them."""
