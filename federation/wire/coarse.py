"""The coarse clock of answers that are signed over what a stranger chose: reg2, C, D1, H1.

How long an ECDSA signature takes may tell how long its nonce was, and a few hundred known lengths give a key (Minerva,
Jancar et al. 2020). Tokens are not ours to mend; what we tell is.
"""

from datetime import timedelta

ANSWER_STEP = timedelta(milliseconds=20)


def until_answer(taken: float) -> float:
    """Return how long an answer waits that took so long since its message came, both in seconds: to the next whole step."""
    step = ANSWER_STEP.total_seconds()
    return -taken % step
