"""A registration as a row, and its mark in the issuance log."""

import sqlalchemy as sa

from federation.store.errors import AlreadyStored, NotStored
from federation.store.interfaces import Registration, StoredStatement
from federation.store.portable import insert_if_absent
from federation.store.schema import issuances, issued_points, registrations, superseded


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


def complete_issuance(connection: sa.Connection, registration: Registration, *, at: int) -> None:
    """Keep R_X1 beside the reserved serial. Raises NotStored if it wasn't reserved for this, AlreadyStored if done before."""
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


def supersede(connection: sa.Connection, identity: str, serial: bytes) -> None:
    """End the live registration of this serial, and note until when its credential lasts.

    Raises NotStored if nothing is live, AlreadyStored if something else is.
    """
    live = registrations.c.identity == identity
    row = connection.execute(sa.select(registrations.c.serial, registrations.c.not_after).where(live)).first()
    if row is None:
        raise NotStored("this identity has no live registration to supersede")
    if row.serial != serial:
        raise AlreadyStored("another registration of this identity is live")
    connection.execute(sa.delete(registrations).where(live))
    insert_if_absent(connection, superseded, identity=identity, serial=serial, not_after=row.not_after)
