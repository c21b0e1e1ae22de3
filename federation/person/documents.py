"""A patient's own document on its way to a hospital, sent again where the session is lost: the same one gets the same receipt."""

import time

from federation.errors import RecordCutShort, StaleMessage, Unavailable
from federation.person.hospital_session import OnSent, SessionOpener, address_hospital, say_nothing
from federation.protocol import exhibits
from federation.protocol.documents import NewDocument, SignedDocument, sign_document
from federation.protocol.record import Intent
from federation.protocol.shown import Shown
from federation.v1.record_pb2 import DepositReceipt
from keystore.identities import HospitalId

ATTEMPTS = 4
PAUSE_SECONDS = 1.0

WHO_READS = {
    "normal": "Every doctor whom you let read your records reads it.",
    "restricted": "A doctor reads it whose consent says that it opens restricted records.",
    "secret": "Nobody but the patient reads it.",
}
"""Sensitivity -> who reads a document of it."""


def add_document(
    opener: SessionOpener,
    shown: Shown,
    hospital_id: HospitalId,
    address: str,
    department_class: str,
    new: NewDocument,
    on_sent: OnSent = say_nothing,
) -> DepositReceipt:
    """Sign a document and bring it to this hospital; return its receipt.

    Raises Limit, MalformedMessage for what can't be said, Authorization, Rejected, Unavailable after some attempts.
    """
    now = opener.clock()
    author, blind = opener.member.party(now), opener.entropy(32)
    document = sign_document(author, new, shown, hospital_id, department_class, blind, now=now)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _send_once(opener, document, hospital_id, address, on_sent)
        except StaleMessage:
            if attempt == ATTEMPTS:
                raise
            document = document.sent_anew(now=opener.clock())
        except (Unavailable, RecordCutShort) as error:
            if attempt == ATTEMPTS:
                raise
            time.sleep(max(PAUSE_SECONDS * attempt, error.retry_after.total_seconds()))
    raise AssertionError  # the last attempt returned or raised


def _send_once(
    opener: SessionOpener, document: SignedDocument, hospital_id: HospitalId, address: str, on_sent: OnSent
) -> DepositReceipt:
    message = document.message
    hospital = address_hospital(opener.connect(address, hospital_id), hospital_id, opener.member, now=opener.clock())
    with opener.open(address, hospital, Intent(Shown.of(message), message.scope, message.blind)) as (stream, session):
        awaiting, frames = session.add(document)
        stream.on_sent = on_sent
        for frame in frames:
            opener.sent("OWN", stream, hospital_id, frame)
        receipt, signed = awaiting.receive(opener.received("STOACK", stream, hospital_id), now=opener.clock())
    opener.book.keep(exhibits.of_deposit(signed, hospital.party, message), receipt.handle, now=opener.clock())
    return receipt
