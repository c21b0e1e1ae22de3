"""The patient's app: visits, diagnoses, consents, own records and who read them, as pages."""
