"""The relay's rooms: a mailbox for each, in the hospital's store, so that any worker serves either side. Blocking, no gRPC.

The relay sees sealed frames only, and whoever knows a room's number, 16 random bytes, may put and follow: it is the paper's
insecure channel, and nothing rests on it.
"""

import math
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from federation.errors import BundleStale, Conflict, Limit, MissingField, NoSuchRoom, OutOfOrder, StaleRevocationList
from federation.hospital.roster import duty_of, require_on_duty
from federation.hospital.services import Held, Hospital
from federation.party.epochs import as_signed, as_stored
from federation.protocol.authorities import current_crl
from federation.protocol.doctor_certificate import authority_of, read_certificate
from federation.protocol.parsing import check
from federation.protocol.revocation import entries_of_duty, entries_of_room
from federation.protocol.room_requests import receive_room_request, verify_close
from federation.protocol.statements import peek_statement
from federation.protocol.time import Instant, milliseconds
from federation.protocol.verifier import Peer, Verifier
from federation.store.errors import AlreadyAdmitted, AlreadyStored, NotStored, OutOfSequence, StoreLimit
from federation.store.rows import Admission, StoredRoom, StoredShift
from federation.v1.consultation_pb2 import (
    CloseRoomRequest,
    FollowFramesRequest,
    FollowFramesResponse,
    GetRoomRequest,
    GetRoomResponse,
    OpenRoomRequest,
    OpenRoomResponse,
    PutFrameRequest,
    RelayFrame,
)
from federation.v1.statement_pb2 import Credential, KeyStatement

ROOM_LIFE = timedelta(hours=12)
MOST_ROOMS_PER_DOCTOR = 64
MOST_ROOM_BYTES = 32 * 1024 * 1024
"""A biosignal of 16 MiB and its padding, seals, a diagnosis and its receipt."""
ALL_ROOMS_SEEN_SECONDS = 1.0
"""How long it is relied on what all rooms hold together."""
MOST_FRAMES = 1024
"""Of one direction of a room."""
FRAMES_AT_ONCE = 4
"""Frames that a follower holds in memory, at most 1.1 MB each."""


class RelaySpace:
    """What all rooms of a hospital may hold together: each has its bound, and there may be many. Safe for several threads."""

    def __init__(self, hospital: Hospital) -> None:
        """Look at the rooms of this hospital."""
        self._rooms, self._most_bytes = hospital.stores.rooms, hospital.most_relay_bytes
        self._held, self._seen_at = 0, -math.inf

    def require(self) -> None:
        """Raise Limit where they are full."""
        if time.monotonic() - self._seen_at >= ALL_ROOMS_SEEN_SECONDS:
            self._held, self._seen_at = self._rooms.all_bytes(), time.monotonic()
        if self._held >= self._most_bytes:
            raise Limit("the rooms of this hospital hold no more; some end within hours")  # PutFrame.2


def open_room(hospital: Hospital, request: OpenRoomRequest) -> OpenRoomResponse:
    """Open a room for a registered doctor who is on duty here.

    Raises precisely what is wrong with the request, NotOnDuty, Limit for too many rooms.
    """
    now = hospital.clock()
    verifier = hospital.member.verifier()
    pending = receive_room_request(request, hospital.identity, verifier, now=now)
    holder = pending.begun
    shift = require_on_duty(hospital, holder.identity, verifier.lists)  # OpenRoom.6
    duty = duty_of(hospital, shift, holder.party.verifying_key)
    room = _room(holder, hospital.entropy(16), now + milliseconds(ROOM_LIFE))
    admission = Admission(pending.replay_key, now, pending.keep_until)
    try:
        hospital.stores.rooms.open(room, now=now, most_per_doctor=MOST_ROOMS_PER_DOCTOR, admission=admission)
    except AlreadyAdmitted:
        pending.admit(inserted=False)  # OpenRoom.7
    except StoreLimit as error:
        raise Limit("this doctor has too many rooms open") from error  # OpenRoom.8
    return OpenRoomResponse(
        room_id=room.room_id,
        expires_at=room.expires_at,
        duty=duty,
        revocations=verifier.lists.excerpt(entries_of_duty(duty)),
    )


def get_room(hospital: Hospital, request: GetRoomRequest) -> GetRoomResponse:
    """Return a room's doctor with its duty of now, and the lists to check it with.

    Raises NoSuchRoom, NotOnDuty, Authentication, StaleRevocationList.
    """
    check(request)  # GetRoom.1
    room = require_room(hospital, request.room_id)  # GetRoom.2
    if hospital.member.verifier().lists.signed is None:
        raise StaleRevocationList("no revocation list is at hand")  # GetRoom.3
    shift = require_holder(hospital, room)  # GetRoom.2
    duty = duty_of(hospital, shift, _key_of(room))
    looked_up = entries_of_room(as_signed(room.key_statement), as_signed(room.encryption_key_statement), duty)
    return GetRoomResponse(
        key_statement=as_signed(room.key_statement),
        doctor_certificate=room.doctor_certificate,
        encryption_key_statement=as_signed(room.encryption_key_statement),
        revocations=hospital.member.verifier().lists.excerpt(looked_up),
        certificate_revocation_list=_crl_for(hospital, read_certificate(room.doctor_certificate)),
        duty=duty,
    )


def close_room(hospital: Hospital, request: CloseRoomRequest) -> None:
    """Close a room for the doctor who opened it. Raises NoSuchRoom, SignatureInvalid."""
    check(request)  # CloseRoom.1
    room = require_room(hospital, request.room_id)  # CloseRoom.2
    verify_close(request, as_signed(room.key_statement), hospital.identity)
    hospital.stores.rooms.close(room.room_id)


def put_frame(hospital: Hospital, request: PutFrameRequest) -> None:
    """Keep a frame. Raises NoSuchRoom, OutOfOrder, Conflict for another frame under its number, Limit for a full room."""
    check(request)  # PutFrame.3
    if request.frame.WhichOneof("content") is None:
        raise MissingField("the frame holds nothing")  # PutFrame.4
    if request.number >= MOST_FRAMES:
        raise Limit(f"a room takes {MOST_FRAMES} frames each way")  # PutFrame.5
    require_open_room(hospital, request.room_id)  # PutFrame.6
    frame = request.frame.SerializeToString(deterministic=True)
    place = request.room_id, request.direction, request.number
    try:
        hospital.stores.rooms.put_frame(*place, frame, now=hospital.clock(), most_bytes=MOST_ROOM_BYTES)
    except NotStored as error:
        raise NoSuchRoom("there is no such room, or it has expired") from error  # PutFrame.7
    except OutOfSequence as error:
        raise OutOfOrder(str(error)) from error  # PutFrame.8
    except AlreadyStored as error:
        raise Conflict("another frame has this number in this room") from error  # PutFrame.9
    except StoreLimit as error:
        raise Limit("this room holds no more") from error  # PutFrame.10


def require_room(hospital: Hospital, room_id: bytes) -> StoredRoom:
    """Return a room. Raises NoSuchRoom."""
    room = hospital.stores.rooms.get(room_id, now=hospital.clock())
    if room is None:
        raise NoSuchRoom("there is no such room, or it has expired")  # room.1
    return room


def require_holder(hospital: Hospital, room: StoredRoom) -> StoredShift:
    """Decide anew on the doctor of a room, by the lists and the roster of now; return the shift in which it works.

    Lists that are stale end no room: nothing rests on the relay, and whoever uses it has lists to look at, too. Raises
    Authentication for one who is revoked or over, NotOnDuty.
    """
    bundle = hospital.member.trust.newest()
    verifier, now = hospital.member.verifier(), hospital.clock()
    exactly = room.key_statement, room.doctor_certificate, verifier.lists.sequence, bundle.sequence
    with suppress(StaleRevocationList, BundleStale):
        held = hospital.room_doctors.of(exactly, lambda: _held(verifier, room, now))
        if not held.contains(now):
            _held(verifier, room, now)  # room.2
    return require_on_duty(hospital, room.doctor_id, verifier.lists)  # room.3


def _held(verifier: Verifier, room: StoredRoom, now: Instant) -> Held:
    """Make CRED(D) of a room's doctor, with its Cert_D, and say until when nothing of it changes by time alone.

    Raises Authentication, StaleRevocationList.
    """
    doctor = verifier.doctor(as_signed(room.key_statement), room.doctor_certificate, now=now)
    statement, credential = peek_statement(KeyStatement, doctor.key_statement), Credential.FromString(doctor.credential)
    certificate = read_certificate(room.doctor_certificate)
    authority = authority_of(certificate, verifier.anchors.authorities)
    # Of the CRLs another one may be current later.
    crls = (crl for known in verifier.lists.crls.values() for crl in known)
    turns = (moment for crl in crls for moment in (crl.last_update_utc, crl.next_update_utc) if moment is not None)
    ends = [certificate.not_valid_after_utc, authority.certificate.not_valid_after_utc, *turns]
    moments = [statement.not_after, credential.not_after, *(int(end.timestamp() * 1000) for end in ends)]
    return Held(now, min(moment for moment in moments if moment > now))


def require_open_room(hospital: Hospital, room_id: bytes) -> None:
    """Require a room, and its doctor. Raises NoSuchRoom, Authentication, NotOnDuty."""
    require_holder(hospital, require_room(hospital, room_id))


def next_frames(hospital: Hospital, request: FollowFramesRequest, number: int) -> list[FollowFramesResponse]:
    """Return some frames of a direction from a number on, none if none is there yet.

    Raises NoSuchRoom, Authentication, NotOnDuty.
    """
    require_open_room(hospital, request.room_id)  # FollowFrames.2
    found = hospital.stores.rooms.frames(request.room_id, request.direction, from_number=number, limit=FRAMES_AT_ONCE)
    return [FollowFramesResponse(number=at, frame=RelayFrame.FromString(frame)) for at, frame in found]


def _room(holder: Peer, room_id: bytes, expires_at: Instant) -> StoredRoom:
    return StoredRoom(
        room_id=room_id,
        doctor_id=holder.identity,
        key_statement=as_stored(holder.party.key_statement),
        doctor_certificate=holder.certificate,
        encryption_key_statement=as_stored(holder.encryption_key.statement),
        expires_at=expires_at,
    )


def _key_of(room: StoredRoom) -> bytes:
    """Return the PUK_D that opened a room: its KS_D held then."""
    return peek_statement(KeyStatement, as_signed(room.key_statement)).verifying_key


def _crl_for(hospital: Hospital, certificate: x509.Certificate) -> bytes:
    verifier = hospital.member.verifier()
    moment = datetime.fromtimestamp(hospital.clock() / 1000, UTC)
    authority = authority_of(certificate, verifier.anchors.authorities)
    return current_crl(authority, verifier.lists.crls, moment).public_bytes(Encoding.DER)  # GetRoom.3
