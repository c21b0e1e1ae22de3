"""The public cloud's registrations, tickets and issuance log, and what of them is over."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored, NonceRepeated, NotStored
from federation.store.log import acting
from federation.store.portable import counted, forget, insert_if_absent, pages, replaced, upsert
from federation.store.prepared import Prepared
from federation.store.rows import Act, Registration, StoredStatement, Superseded, Ticket
from federation.store.schema import (
    answers,
    issuances,
    issued_nonces,
    issued_points,
    registrations,
    replay,
    reservations,
    stopped_issuers,
    superseded,
    tickets,
)


class Registrations:
    """The public cloud's registrations and tickets.

    A change that gets an `act` raises AlreadyAdmitted for a message that was taken before.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_ticket(self, ticket: Ticket, *, act: Act | None = None) -> None:
        """Keep a ticket. Raises AlreadyStored for one that is there."""

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                if not insert_if_absent(connection, tickets, **vars(ticket)):
                    raise AlreadyStored("this ticket is kept already")

        self._database.write_by_key(step)

    def find_ticket(self, digest: bytes, *, now: int) -> Ticket | None:
        """Return the ticket of this digest, unless it has expired or was consumed."""
        query = sa.select(tickets).where(tickets.c.digest == digest, tickets.c.expires_at >= now)
        row = self._database.look(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else Ticket(**row)

    def answer_to(self, request_digest: bytes, *, now: int) -> bytes | None:
        """Return the kept sealed answer to the same reg1, if its time is not over."""
        query = sa.select(answers.c.answer).where(answers.c.request_digest == request_digest, answers.c.until >= now)
        return self._database.look(lambda connection: connection.scalar(query))

    def reserve_serial(
        self,
        serial: bytes,
        *,
        role: str,
        identity: str,
        credential: bytes,
        at: int,
        until: int,
        supersedes: bytes | None = None,
    ) -> None:
        """Insert the serial into the issuance log before anything is signed for it, if it is this registration's turn.

        One of an identity is under way at a time, until it is completed or released, or its time is over: of two at once the
        loser uses no serial up. Raises AlreadyStored for a serial used before, where another is under way, and where
        something else is live than what `supersedes` names; NotStored where nothing is.
        """

        def step(connection: sa.Connection) -> None:
            # First: whoever else is at this identity is then waited for, and what it left is seen below.
            reserved = {"identity": identity, "serial": serial, "until": until}
            if not upsert(connection, reservations, lambda _: reservations.c.until < at, **reserved):
                raise AlreadyStored("another registration of this identity is under way")
            _require_live(connection, identity, supersedes, now=at)
            _forget_expired(connection, at)
            values = {"role": role, "identity": identity, "credential": credential, "at": at}
            if not insert_if_absent(connection, issuances, serial=serial, **values):
                raise AlreadyStored("this serial was used before")

        self._database.write_by_key(step)

    def release(self, identity: str, serial: bytes) -> None:
        """Let another registration of the identity begin: this one won't be completed. None under way is no error."""
        here = (reservations.c.identity == identity, reservations.c.serial == serial)
        gone = sa.delete(reservations).where(*here)
        self._database.write_by_key(lambda connection: connection.execute(gone), repeatable=True)

    def stop_issuer(self, public_key: bytes, serial: bytes, *, at: int) -> None:
        """Keep for good that s of this PK issues nothing any more; `serial` is of the credential that it repeated itself in."""

        def step(connection: sa.Connection) -> None:
            insert_if_absent(connection, stopped_issuers, public_key=public_key, serial=serial, at=at)

        self._database.write_by_key(step, repeatable=True)

    def is_issuer_stopped(self, public_key: bytes) -> bool:
        """Return whether s of this PK was stopped."""
        query = sa.select(stopped_issuers.c.at).where(stopped_issuers.c.public_key == public_key)
        return self._database.look(lambda connection: connection.scalar(query)) is not None

    def complete(
        self,
        registration: Registration,
        *,
        request_digest: bytes,
        answer: bytes,
        answer_until: int,
        ticket_digest: bytes | None,
        supersedes: bytes | None = None,
        now: int,
        act: Act | None = None,
    ) -> None:
        """Make the registration live in one transaction: consume the ticket, mark the issuance, keep the answer.

        A registration whose `not_after` is over gives way, and so does the live one whose serial is `supersedes`. Raises
        AlreadyStored if the identity has another live registration and no re-issue was authorized, or if the serial was
        completed; NotStored if the ticket is gone, has expired or names another, if the serial was not reserved for this
        credential, or if there is nothing live to supersede; NonceRepeated for an R_X1 that was issued before.
        """

        def step(connection: sa.Connection) -> None:
            with acting(connection, act):
                _end_what_is_over(connection, registration.identity, request_digest, now)
                _complete_issuance(connection, registration, at=now)
                if supersedes is not None:
                    _supersede(connection, registration.identity, supersedes)
                if not insert_if_absent(connection, registrations, **values_of(registration)):
                    raise AlreadyStored("this identity has a live registration")
                if ticket_digest is not None:
                    _consume_ticket(connection, ticket_digest, registration, now)
                if not insert_if_absent(
                    connection, answers, request_digest=request_digest, answer=answer, until=answer_until
                ):
                    raise AlreadyStored("this request was answered already")

        self._database.write_by_key(step)

    def live(self, identity: str) -> Registration | None:
        """Return the registration of an identity; whether its `not_after` is over is the caller's to look at."""
        return next(map(_registration_of, self._database.find(_LIVE, identity=identity)), None)

    def walk(self) -> Iterator[Registration]:
        """Return every registration by identity, those whose time is over among them."""
        return pages(self._database, sa.select(registrations), (registrations.c.identity,), _registration_of)

    def hospitals(self, *, now: int) -> Iterator[tuple[str, str]]:
        """Return every hospital with a live registration that said where it is dialled: its id and address, by id."""
        columns = registrations.c
        query = sa.select(columns.identity, columns.address).where(
            columns.identity > "H:", columns.identity < "H;", columns.address.is_not(None), columns.not_after >= now
        )
        return pages(self._database, query, (columns.identity,), lambda row: (row["identity"], row["address"]))

    def open_tickets(self, *, now: int) -> Iterator[Ticket]:
        """Return the tickets that are good now, by who may register with them, the first to end in front."""
        good = sa.select(tickets).where(tickets.c.expires_at >= now)
        order = (tickets.c.identity, tickets.c.expires_at, tickets.c.digest)
        return pages(self._database, good, order, lambda row: Ticket(**row))

    def forget_tickets_of(self, hospital_id: str, *, act: Act | None = None) -> int:
        """Forget a hospital's own tickets and those that its desk was given for patients; say how many it were."""
        whose = sa.or_(tickets.c.identity == hospital_id, tickets.c.issued_by == hospital_id)

        def step(connection: sa.Connection) -> int:
            with acting(connection, act):
                return connection.execute(sa.delete(tickets).where(whose)).rowcount

        return self._database.write(step)

    def superseded(self, identity: str, *, now: int) -> Sequence[Superseded]:
        """Return an identity's credentials that renewals replaced and that are not over, the first to end in front."""
        query = sa.select(superseded.c.serial, superseded.c.not_after)
        query = query.where(superseded.c.identity == identity, superseded.c.not_after >= now)
        query = query.order_by(superseded.c.not_after, superseded.c.serial)
        rows = self._database.look(lambda connection: connection.execute(query).mappings().all())
        return [Superseded(**row) for row in rows]

    def credential_of(self, serial: bytes) -> bytes | None:
        """Return the credential of any serial in the issuance log, whatever became of it."""
        query = sa.select(issuances.c.credential).where(issuances.c.serial == serial)
        return self._database.look(lambda connection: connection.scalar(query))

    def reseal(self, identity: str, old: bytes, new: bytes) -> bool:
        """Replace the sealed K_X of a registration if it is still the old one, and say whether it was."""
        here = (registrations.c.identity == identity, registrations.c.sealed_shared_key == old)
        return replaced(self._database, sa.update(registrations).where(*here).values(sealed_shared_key=new))

    def restate(self, identity: str, old: StoredStatement, new: StoredStatement) -> bool:
        """Replace the key statement of a registration if it is still the old one, and say whether it was."""
        here = (
            registrations.c.identity == identity,
            registrations.c.key_statement == old.statement,
            registrations.c.key_signature == old.signature,
        )
        values = {"key_statement": new.statement, "key_signature": new.signature}
        return replaced(self._database, sa.update(registrations).where(*here).values(values))

    def count_issued(self, *, since: int, until: int, now: int) -> int:
        """Count the live registrations whose credential has since <= not_before < until."""
        columns = registrations.c
        fits = sa.and_(columns.not_before >= since, columns.not_before < until, columns.not_after >= now)
        return counted(self._database, registrations, fits)

    def renew(
        self,
        identity: str,
        encryption_key_statement: StoredStatement,
        address: str | None,
        *,
        act: Act | None = None,
    ) -> Registration:
        """Keep the newest encryption key and, if given, the address; return the registration as it is then. Raises NotStored."""
        new = {
            "new_encryption_statement": encryption_key_statement.statement,
            "new_encryption_signature": encryption_key_statement.signature,
        } | ({} if address is None else {"new_address": address})
        renewed = _renewal(*new)

        def step(connection: sa.Connection) -> Registration:
            with acting(connection, act):
                rows = renewed.rows(connection, this_identity=identity, **new)
                found = next(map(_registration_of, renewed.named(rows)), None)
                if found is None:
                    raise NotStored("this identity has no live registration")
                return found

        return self._database.write_by_key(step, repeatable=act is None)

    def authorize_reissue(self, identity: str, serial: bytes, *, act: Act | None = None) -> Registration:
        """End the live registration of that serial so that its identity may register again; return it.

        Raises NotStored, also if a renewal has taken its place meanwhile.
        """
        here = (registrations.c.identity == identity, registrations.c.serial == serial)
        statement = sa.delete(registrations).where(*here).returning(*registrations.c)

        def step(connection: sa.Connection) -> Registration:
            with acting(connection, act):
                row = connection.execute(statement).mappings().first()
                if row is None:
                    raise NotStored("this identity has no live registration of that serial")
                return _registration_of(row)

        return self._database.write_by_key(step)

    def issued(self) -> Iterator[tuple[bytes, str, str, int]]:
        """Return the issuance log: serial, role, identity, time of every serial that was reserved, the oldest first."""
        columns = (issuances.c.serial, issuances.c.role, issuances.c.identity, issuances.c.at)
        order = (issuances.c.at, issuances.c.serial)
        return pages(
            self._database,
            sa.select(*columns),
            order,
            lambda row: (row["serial"], row["role"], row["identity"], row["at"]),
        )


def _forget_expired(connection: sa.Connection, now: int) -> None:
    """Forget what registrations under way have left: when the next one begins, so that none that ends waits for it."""
    forget(connection, tickets, tickets.c.expires_at < now)
    forget(connection, answers, answers.c.until < now)


def _end_what_is_over(connection: sa.Connection, identity: str, request_digest: bytes, now: int) -> None:
    over = (registrations.c.identity == identity, registrations.c.not_after < now)
    connection.execute(sa.delete(registrations).where(*over))
    connection.execute(sa.delete(superseded).where(superseded.c.identity == identity, superseded.c.not_after < now))
    connection.execute(sa.delete(answers).where(answers.c.request_digest == request_digest, answers.c.until < now))


def _consume_ticket(connection: sa.Connection, digest: bytes, registration: Registration, now: int) -> None:
    named = (tickets.c.role == registration.role, tickets.c.identity == registration.identity)
    good = (tickets.c.digest == digest, tickets.c.expires_at >= now)
    if connection.execute(sa.delete(tickets).where(*good, *named)).rowcount == 0:
        raise NotStored("the ticket is used, expired or another's")


def values_of(registration: Registration) -> dict[str, object]:
    """Return the row of a registration."""
    values = dict(vars(registration))
    key: StoredStatement = values.pop("key_statement")
    encryption: StoredStatement = values.pop("encryption_key_statement")
    return values | {
        "key_statement": key.statement,
        "key_signature": key.signature,
        "encryption_statement": encryption.statement,
        "encryption_signature": encryption.signature,
    }


_LIVE = Prepared(sa.select(registrations).where(registrations.c.identity == sa.bindparam("identity")))


@cache
def _renewal(*names: str) -> Prepared:
    values: dict[str, sa.BindParameter[Any]] = {name.removeprefix("new_"): sa.bindparam(name) for name in names}
    renewed = sa.update(registrations).where(registrations.c.identity == sa.bindparam("this_identity"))
    return Prepared(renewed.values(values).returning(*registrations.c))


def _registration_of(row: Mapping[Any, Any]) -> Registration:
    """Return the registration of a row."""
    values = dict(row)
    key = StoredStatement(values.pop("key_statement"), values.pop("key_signature"))
    encryption = StoredStatement(values.pop("encryption_statement"), values.pop("encryption_signature"))
    return Registration(**values, key_statement=key, encryption_key_statement=encryption)


def _require_live(connection: sa.Connection, identity: str, serial: bytes | None, *, now: int) -> None:
    """Require the registration of this serial to be the live one, or none to be.

    Raises NotStored where nothing is live, AlreadyStored where something else is.
    """
    live = (registrations.c.identity == identity, registrations.c.not_after >= now)
    found = connection.scalar(sa.select(registrations.c.serial).where(*live))
    if found is None and serial is not None:
        raise NotStored("this identity has no live registration to supersede")
    if found != serial:
        raise AlreadyStored("another registration of this identity is live")


def _complete_issuance(connection: sa.Connection, registration: Registration, *, at: int) -> None:
    """Keep R_X1 beside the reserved serial, and end the reservation.

    Raises NotStored if it wasn't reserved for this or is another's by now, AlreadyStored if done before, NonceRepeated.
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
    if not insert_if_absent(connection, issued_nonces, registration_point=point, serial=registration.serial):
        raise NonceRepeated("this R_X1 was issued before")
    here = (reservations.c.identity == registration.identity, reservations.c.serial == registration.serial)
    if connection.execute(sa.delete(reservations).where(*here)).rowcount == 0:
        raise NotStored("another registration of this identity is under way by now")


def _supersede(connection: sa.Connection, identity: str, serial: bytes) -> None:
    """End the live registration of this serial, and note until when its credential lasts.

    Raises NotStored if nothing is live, AlreadyStored if something else is.
    """
    live = (registrations.c.identity == identity, registrations.c.serial == serial)
    not_after = connection.scalar(sa.delete(registrations).where(*live).returning(registrations.c.not_after))
    if not_after is None:
        _require_live(connection, identity, serial, now=0)
    insert_if_absent(connection, superseded, identity=identity, serial=serial, not_after=not_after)


class ExpiredRows:
    """Rows of the public cloud whose time is over: counted, and removed some at a time, so that nobody waits for it.

    Both logs and the trust bundles have no end; the book of revocations sees to its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, *, now: int, ended_before: int) -> Mapping[str, int]:
        """Count of each kind what is over now; registrations and what they superseded, if they ended before then."""
        over = _over(now, ended_before)
        return {name: counted(self._database, table, condition) for name, (table, condition) in over.items()}

    def remove(self, *, now: int, ended_before: int) -> Mapping[str, int]:
        """Remove them, and say how many of each kind it were."""
        over = _over(now, ended_before)
        return {name: self._removed(table, condition) for name, (table, condition) in over.items()}

    def _removed(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        removed = 0
        while gone := self._database.write_by_key(lambda connection: forget(connection, table, condition)):
            removed += gone
        return removed


def _over(now: int, ended_before: int) -> Mapping[str, tuple[sa.Table, sa.ColumnElement[bool]]]:
    return {
        "registrations": (registrations, registrations.c.not_after < min(now, ended_before)),
        "superseded credentials": (superseded, superseded.c.not_after < min(now, ended_before)),
        "registrations cut short": (reservations, reservations.c.until < now),
        "tickets": (tickets, tickets.c.expires_at < now),
        "kept answers": (answers, answers.c.until < now),
        "replay keys": (replay, replay.c.until < now),
    }
