"""The relay's mailboxes, in SQL."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from federation.store.database import Database
from federation.store.errors import AlreadyStored, NotStored, OutOfSequence, StoreLimit
from federation.store.party import require_admitted
from federation.store.portable import forget, insert_if_absent
from federation.store.prepared import Prepared
from federation.store.rows import Admission, StoredRoom, StoredStatement
from federation.store.schema import frames, rooms

FRAME_COST = 64
"""Bytes that a frame takes of its room's bound beside its own: empty frames fill a room too."""


_ROOMS_AT_ONCE = 500
"""That one statement asks for."""


_ROOM = rooms.c.room_id == sa.bindparam("room")
_IS_OPEN = rooms.c.expires_at >= sa.bindparam("now")
_OPEN = Prepared(sa.select(rooms).where(_ROOM, _IS_OPEN))
_OF_DOCTOR = Prepared(sa.select(sa.func.count()).select_from(rooms).where(rooms.c.doctor_id == sa.bindparam("doctor")))
_HELD = Prepared(sa.select(rooms.c.held_bytes).where(_ROOM, _IS_OPEN).with_for_update())
_NOW_HELD = Prepared(sa.update(rooms).where(_ROOM).values(held_bytes=sa.bindparam("held")))

_DIRECTION = (frames.c.room_id == sa.bindparam("room"), frames.c.direction == sa.bindparam("direction"))
_NEXT = Prepared(sa.select(sa.func.coalesce(sa.func.max(frames.c.number), -1) + 1).where(*_DIRECTION))
_FRAME = Prepared(sa.insert(frames), columns=("room_id", "direction", "number", "frame"))
_FROM = Prepared(
    sa.select(frames.c.number, frames.c.frame)
    .where(*_DIRECTION, frames.c.number >= sa.bindparam("first"))
    .order_by(frames.c.number)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


class Rooms:
    """The relay's mailboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, room: StoredRoom, *, now: int, most_per_doctor: int, admission: Admission | None = None) -> None:
        """Keep a room, and take the message that asked for it. Raises AlreadyAdmitted for one that was taken before.

        Raises StoreLimit when the doctor has too many open, AlreadyStored for a room id that is there. Rooms that have expired
        go, with their frames.
        """

        def step(connection: sa.Connection) -> None:
            if admission is not None:
                require_admitted(connection, admission)
            # Their frames go by the foreign key.
            forget(connection, rooms, rooms.c.expires_at < now)
            if _OF_DOCTOR.value(connection, doctor=room.doctor_id) >= most_per_doctor:
                raise StoreLimit("this doctor has too many rooms open")
            if not insert_if_absent(connection, rooms, **_values(room)):
                raise AlreadyStored("this room is open already")

        self._database.write_by_key(step)

    def get(self, room_id: bytes, *, now: int) -> StoredRoom | None:
        """Return the room, unless it has expired."""
        return next(map(_room, self._database.find(_OPEN, room=room_id, now=now)), None)

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
            # Whoever reads this has the room to itself until the transaction ends.
            held: int | None = _HELD.value(connection, room=room_id, now=now)
            if held is None:
                raise NotStored("there is no such room")
            expected: int = _NEXT.value(connection, room=room_id, direction=direction)
            if number < expected:
                _check_same(connection, (room_id, direction, number), frame)
                return
            if number > expected:
                raise OutOfSequence(f"frame {number} came where {expected} is the next")
            after = held + len(frame) + FRAME_COST
            if after > most_bytes:
                raise StoreLimit("this room holds no more")
            _FRAME.changed(connection, room_id=room_id, direction=direction, number=number, frame=frame)
            _NOW_HELD.changed(connection, room=room_id, held=after)

        self._database.write_by_key(step)

    def frames(self, room_id: bytes, direction: int, *, from_number: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """Return the frames of a direction from a number on, in order, at most `limit`."""
        asked = {"room": room_id, "direction": direction, "first": from_number, "most": limit}
        rows = self._database.look(lambda connection: _FROM.rows(connection, **asked))
        return [(number, frame) for number, frame in rows]

    def all_bytes(self) -> int:
        """Return what all rooms hold together. It reads them all: ask seldom."""
        query = sa.select(sa.func.coalesce(sa.func.sum(rooms.c.held_bytes), 0))
        return int(self._database.look(lambda connection: connection.scalars(query).one()))

    def held_bytes(self, room_ids: Sequence[bytes]) -> Mapping[bytes, int]:
        """Return what each of these rooms holds, which grows with every frame; a room that is not there is left out."""
        pages = [_held(room_ids[at : at + _ROOMS_AT_ONCE]) for at in range(0, len(room_ids), _ROOMS_AT_ONCE)]
        looks = (partial(_pairs, page) for page in pages)
        return {room_id: held for look in looks for room_id, held in self._database.look(look)}


def _pairs(query: sa.Select[Any], connection: sa.Connection) -> list[tuple[bytes, int]]:
    return [(row[0], row[1]) for row in connection.execute(query)]


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


def _room(row: Mapping[str, Any]) -> StoredRoom:
    return StoredRoom(
        row["room_id"],
        row["doctor_id"],
        StoredStatement(row["key_statement"], row["key_signature"]),
        row["doctor_certificate"],
        StoredStatement(row["encryption_statement"], row["encryption_signature"]),
        row["expires_at"],
    )


def _check_same(connection: sa.Connection, place: tuple[bytes, int, int], frame: bytes) -> None:
    query = sa.select(frames.c.frame).where(sa.tuple_(frames.c.room_id, frames.c.direction, frames.c.number) == place)
    if connection.scalar(query) != frame:
        raise AlreadyStored("another frame is kept under this number")
