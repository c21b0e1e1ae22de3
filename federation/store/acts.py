"""What is written in the transaction of a change beside it: the replay key of the message that asked, and the log's entry."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from federation.store.errors import AlreadyAdmitted
from federation.store.log import append
from federation.store.portable import forget, insert_if_absent
from federation.store.rows import Act, Admission
from federation.store.schema import replay


@contextmanager
def acting(connection: sa.Connection, act: Act | None) -> Iterator[None]:
    """Take a message first and log last, around the change; without an act there is the change alone.

    The entry comes last so that whoever appends next waits for a commit and no more. Raises AlreadyAdmitted.
    """
    if act is not None and act.admission is not None and not admitted(connection, act.admission):
        raise AlreadyAdmitted("this message was taken before")
    yield
    if act is not None:
        append(connection, at=act.entry.at, sealed=act.entry.sealed)


def admitted(connection: sa.Connection, admission: Admission) -> bool:
    """Insert a message's replay key if absent and say whether it was; forget keys whose time is over."""
    forget(connection, replay, replay.c.until < admission.now)
    return insert_if_absent(connection, replay, key=admission.key, until=admission.until)
