"""A registration as a row, and its mark in the issuance log."""

import sqlalchemy as sa

from federation.store.errors import AlreadyStored, NotStored
from federation.store.portable import insert_if_absent
from federation.store.rows import Registration, StoredStatement
from federation.store.schema import issuances, issued_points, registrations, reservations, superseded


def values_of(registration: Registration) -> dict[str, object]:
    """The row of a registration."""
    values = dict(vars(registration))
    key: StoredStatement = values.pop("key_statement")
    encryption: StoredStatement = values.pop("encryption_key_statement")
    return values | {
        "key_statement": key.statement,
        "key_signature": key.signature,
        "encryption_statement": encryption.statement,
        "encryption_signature": encryption.signature,
    }


def registration_of(row: sa.RowMapping) -> Registration:
    """The registration of a row."""
    values = dict(row)
    key = StoredStatement(values.pop("key_statement"), values.pop("key_signature"))
    encryption = StoredStatement(values.pop("encryption_statement"), values.pop("encryption_signature"))
    return Registration(**values, key_statement=key, encryption_key_statement=encryption)


def require_live(connection: sa.Connection, identity: str, serial: bytes | None, *, now: int) -> None:
    """Require the registration of this serial to be the live one, or none to be.

    Raises NotStored where nothing is live, AlreadyStored where something else is.
    """
    live = (registrations.c.identity == identity, registrations.c.not_after >= now)
    found = connection.scalar(sa.select(registrations.c.serial).where(*live))
    if found is None and serial is not None:
        raise NotStored("this identity has no live registration to supersede")
    if found != serial:
        raise AlreadyStored("another registration of this identity is live")


def complete_issuance(connection: sa.Connection, registration: Registration, *, at: int) -> None:
    """Keep R_X1 beside the reserved serial, and end the reservation.

    Raises NotStored if it wasn't reserved for this or is another's by now, AlreadyStored if done before.
    """
    reserved = sa.select(issuances.c.serial).where(
        issuances.c.serial == registration.serial,
        issuances.c.role == registration.role,
        issuances.c.identity == registration.identity,
        issuances.c.credential == registration.credential,
    )
    if connection.execute(reserved).first() is None:
        raise NotStored("this serial was not reserved for this credential")
    point = registration.registration_point
    if not insert_if_absent(connection, issued_points, serial=registration.serial, registration_point=point, at=at):
        raise AlreadyStored("this serial was completed before")
    here = (reservations.c.identity == registration.identity, reservations.c.serial == registration.serial)
    if connection.execute(sa.delete(reservations).where(*here)).rowcount == 0:
        raise NotStored("another registration of this identity is under way by now")


def supersede(connection: sa.Connection, identity: str, serial: bytes) -> None:
    """End the live registration of this serial, and note until when its credential lasts.

    Raises NotStored if nothing is live, AlreadyStored if something else is.
    """
    live = (registrations.c.identity == identity, registrations.c.serial == serial)
    not_after = connection.scalar(sa.delete(registrations).where(*live).returning(registrations.c.not_after))
    if not_after is None:
        require_live(connection, identity, serial, now=0)
    insert_if_absent(connection, superseded, identity=identity, serial=serial, not_after=not_after)
