"""The relay's mailboxes, in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored, NotStored, OutOfSequence, StoreLimit
from federation.store.portable import forget, insert_if_absent
from federation.store.rows import StoredRoom, StoredStatement
from federation.store.schema import frames, rooms

FRAME_COST = 64
"""Bytes that a frame takes of its room's bound beside its own: empty frames fill a room too."""


_ROOMS_AT_ONCE = 500
"""That one statement asks for."""


class Rooms:
    """The relay's mailboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, room: StoredRoom, *, now: int, most_per_doctor: int) -> None:
        """Keep a room. Raises StoreLimit when the doctor has too many open, AlreadyStored for a room id that is there.

        Rooms that have expired go, with their frames.
        """
        mine = sa.select(sa.func.count()).select_from(rooms).where(rooms.c.doctor_id == room.doctor_id)

        def step(connection: sa.Connection) -> None:
            # Their frames go by the foreign key.
            forget(connection, rooms, rooms.c.expires_at < now)
            if connection.scalars(mine).one() >= most_per_doctor:
                raise StoreLimit("this doctor has too many rooms open")
            if not insert_if_absent(connection, rooms, **_values(room)):
                raise AlreadyStored("this room is open already")

        self._database.write_by_key(step)

    def get(self, room_id: bytes, *, now: int) -> StoredRoom | None:
        """Return the room, unless it has expired."""
        query = sa.select(rooms).where(rooms.c.room_id == room_id, rooms.c.expires_at >= now)
        row = self._database.read(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _room(row)

    def close(self, room_id: bytes) -> None:
        """Remove a room with its frames; none there is no error."""
        gone = sa.delete(rooms).where(rooms.c.room_id == room_id)
        self._database.write_by_key(lambda connection: connection.execute(gone), repeatable=True)

    def sweep(self, *, now: int) -> int:
        """Remove rooms that have expired, with their frames, some at a time; say how many."""
        return self._database.write_by_key(lambda connection: forget(connection, rooms, rooms.c.expires_at < now))

    def put_frame(
        self, room_id: bytes, direction: int, number: int, frame: bytes, *, now: int, most_bytes: int
    ) -> None:
        """Keep the next frame of a direction, numbered from 0. The same frame under the same number again is taken once.

        Raises NotStored for no such room, AlreadyStored for another frame under that number, OutOfSequence for a number
        that is not the next, StoreLimit when the room's frames, at FRAME_COST bytes more for each, exceed `most_bytes`.
        """

        def step(connection: sa.Connection) -> None:
            held = _held_bytes(connection, room_id, now)
            expected = _next_number(connection, room_id, direction)
            if number < expected:
                _check_same(connection, (room_id, direction, number), frame)
                return
            if number > expected:
                raise OutOfSequence(f"frame {number} came where {expected} is the next")
            after = held + len(frame) + FRAME_COST
            if after > most_bytes:
                raise StoreLimit("this room holds no more")
            _keep(connection, (room_id, direction, number), frame, after)

        self._database.write_by_key(step)

    def frames(self, room_id: bytes, direction: int, *, from_number: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """Return the frames of a direction from a number on, in order, at most `limit`."""
        query = sa.select(frames.c.number, frames.c.frame).where(
            frames.c.room_id == room_id, frames.c.direction == direction, frames.c.number >= from_number
        )
        query = query.order_by(frames.c.number).limit(limit)
        return self._database.read(lambda connection: [(row[0], row[1]) for row in connection.execute(query)])

    def all_bytes(self) -> int:
        """Return what all rooms hold together. It reads them all: ask seldom."""
        query = sa.select(sa.func.coalesce(sa.func.sum(rooms.c.held_bytes), 0))
        return int(self._database.read(lambda connection: connection.scalars(query).one()))

    def held_bytes(self, room_ids: Sequence[bytes]) -> Mapping[bytes, int]:
        """Return what each of these rooms holds, which grows with every frame; a room that is not there is left out."""
        pages = [_held(room_ids[at : at + _ROOMS_AT_ONCE]) for at in range(0, len(room_ids), _ROOMS_AT_ONCE)]
        return self._database.read(
            lambda connection: {row[0]: row[1] for page in pages for row in connection.execute(page)}
        )


def _held(room_ids: Sequence[bytes]) -> sa.Select[Any]:
    return sa.select(rooms.c.room_id, rooms.c.held_bytes).where(rooms.c.room_id.in_(room_ids))


def _values(room: StoredRoom) -> dict[str, object]:
    return {
        "room_id": room.room_id,
        "doctor_id": room.doctor_id,
        "key_statement": room.key_statement.statement,
        "key_signature": room.key_statement.signature,
        "doctor_certificate": room.doctor_certificate,
        "encryption_statement": room.encryption_key_statement.statement,
        "encryption_signature": room.encryption_key_statement.signature,
        "expires_at": room.expires_at,
        "held_bytes": 0,
    }


def _room(row: sa.RowMapping) -> StoredRoom:
    return StoredRoom(
        row["room_id"],
        row["doctor_id"],
        StoredStatement(row["key_statement"], row["key_signature"]),
        row["doctor_certificate"],
        StoredStatement(row["encryption_statement"], row["encryption_signature"]),
        row["expires_at"],
    )


def _held_bytes(connection: sa.Connection, room_id: bytes, now: int) -> int:
    """Return what a room holds, and have the room to oneself until the transaction ends."""
    query = sa.select(rooms.c.held_bytes).where(rooms.c.room_id == room_id, rooms.c.expires_at >= now)
    held: int | None = connection.scalar(query.with_for_update())
    if held is None:
        raise NotStored("there is no such room")
    return held


def _next_number(connection: sa.Connection, room_id: bytes, direction: int) -> int:
    query = sa.select(sa.func.max(frames.c.number)).where(frames.c.room_id == room_id, frames.c.direction == direction)
    last: int | None = connection.scalar(query)
    return 0 if last is None else last + 1


def _check_same(connection: sa.Connection, place: tuple[bytes, int, int], frame: bytes) -> None:
    query = sa.select(frames.c.frame).where(sa.tuple_(frames.c.room_id, frames.c.direction, frames.c.number) == place)
    if connection.scalar(query) != frame:
        raise AlreadyStored("another frame is kept under this number")


def _keep(connection: sa.Connection, place: tuple[bytes, int, int], frame: bytes, held_bytes: int) -> None:
    room_id, direction, number = place
    connection.execute(sa.insert(frames).values(room_id=room_id, direction=direction, number=number, frame=frame))
    connection.execute(sa.update(rooms).where(rooms.c.room_id == room_id).values(held_bytes=held_bytes))
