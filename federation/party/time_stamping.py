"""Time stamps over the heads of a server's own log, from an authority that its settings name (docs/protocol.md, ts).

A stamp dates everything below its head, so one an hour is enough, and nobody waits for it: where the authority is away, the log
goes on, and the next stamp dates what it missed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509

from federation.errors import FieldInvalid
from federation.party.chores import Chore
from federation.party.log_heads import OwnLog
from federation.protocol.notes import read_note, text_key_id
from federation.protocol.time import Instant, milliseconds
from federation.protocol.time_stamps import MOST_STAMP_BYTES, request_stamp, verify_stamp
from federation.settings import ConfigError, DiallingSettings, LogSettings
from federation.store.rows import StoredHead, StoredTimeStamp
from federation.wire.channel import dialling_of
from federation.wire.fetching import Fetcher, require_url
from keystore.errors import CertificateRejected
from keystore.pem import read_certificates

EVENT = "log-head-not-stamped"
QUESTION = "application/timestamp-query"
LOOK_EVERY = timedelta(minutes=1)
AGAIN_AFTER = timedelta(minutes=5)


@dataclass(frozen=True)
class TimeStamping:
    """Has the newest cosigned head of a log stamped by one authority, whose certificates are these."""

    own: OwnLog
    ask: Callable[[bytes], bytes]
    trusted: Sequence[x509.Certificate]
    every: timedelta

    def stamp(self) -> bool:
        """Have the newest cosigned head stamped, if the last stamp was long enough ago; say whether it was.

        Nothing is kept that a judge would refuse. Raises FieldInvalid, Unavailable, MalformedMessage, TimeStampInvalid;
        StoreError.
        """
        now, head, newest = self.own.clock(), self.own.newest_believed(), self.own.stamps.newest()
        if head is None or (newest is not None and not self._is_due(head, newest, now)):
            return False
        stated = self.own.key_statement()
        if read_note(head.note).signatures[0].key_id != text_key_id(self.own.signing_key(now).verifying_key):
            return False  # signed by a key that has a successor, whose statement is not the one at hand: the next head is not
        question = request_stamp(head.note)
        answer = self.ask(question.as_bytes())
        verify_stamp(answer, head.note, self.trusted, nonce=question.nonce)
        statement = b"" if stated is None else stated.SerializeToString(deterministic=True)
        self.own.stamps.put(StoredTimeStamp(head.number, head.size, head.note, statement, answer, now))
        return True

    def _is_due(self, head: StoredHead, newest: StoredTimeStamp, now: Instant) -> bool:
        grew = (head.number, head.size) > (newest.number, newest.size)
        return grew and now - newest.at >= milliseconds(self.every)


def stamping_chores(own: OwnLog, log: LogSettings, dialling: DiallingSettings) -> list[Chore]:
    """Return the chore, where the settings name an authority. Raises ConfigError."""
    if log.time_stamp_authority is None and log.time_stamp_certificates is None:
        return []
    if log.time_stamp_authority is None or log.time_stamp_certificates is None:
        raise ConfigError("log.time_stamp_authority and log.time_stamp_certificates go together")
    url, fetcher = log.time_stamp_authority, Fetcher(MOST_STAMP_BYTES, dialling_of(dialling), plain=True)
    try:
        require_url(url, plain=True)
        trusted = read_certificates(log.time_stamp_certificates.read_bytes())
    except FieldInvalid as error:
        raise ConfigError(f"log.time_stamp_authority: {error}") from error
    except (CertificateRejected, OSError) as error:
        raise ConfigError(f"log.time_stamp_certificates: {error}") from error
    every = timedelta(minutes=log.time_stamp_minutes)
    stamping = TimeStamping(own, lambda question: fetcher.ask(url, question, QUESTION), trusted, every)
    look = min(every, LOOK_EVERY)
    return [
        Chore(
            "stamp-log-head",
            look,
            stamping.stamp,
            leased=True,
            thread="stamping",
            event=EVENT,
            after_failure=max(look, min(every, AGAIN_AFTER)),
        )
    ]
