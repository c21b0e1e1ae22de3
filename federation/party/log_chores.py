"""The chores of a server's own log and of those that it witnesses, the same at the public cloud and at hospitals."""

from datetime import timedelta

from federation.party.chores import Chore
from federation.party.log_follower import Cosigning, Following

SIGN_EVERY = timedelta(seconds=1)
COSIGN_EVERY = timedelta(seconds=2)
FOLLOW_EVERY = timedelta(seconds=15)


def chores_of(cosigning: Cosigning, following: Following) -> list[Chore]:
    """Return them. One process alone does each; another may go on at any moment, for all that counts is in the database."""
    return [
        Chore(
            "sign-log-head",
            SIGN_EVERY,
            cosigning.own.sign_newest,
            leased=True,
            thread="log",
            event="log-head-not-signed",
        ),
        Chore("have-head-cosigned", COSIGN_EVERY, cosigning.push, leased=True, thread="cosigning"),
        Chore("follow-logs", FOLLOW_EVERY, following.look, leased=True, thread="following"),
    ]
