"""Which single checks of the code no test would miss: `python -m tests.mutants`, for ci/mutants."""
