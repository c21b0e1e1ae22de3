"""Has the heads of a server's own log cosigned by witnesses of the public, over HTTP (C2SP tlog-witness).

They are nobody's member, so that somebody outside the federation looks on. No policy counts them: members can't judge them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from federation.errors import FederationError, Unavailable
from federation.party.chores import Chore
from federation.party.log_heads import OwnLog, public_id
from federation.protocol.public_witness import PublicWitness, add_checkpoint, read_kept_size
from federation.settings import DiallingSettings, LogSettings, public_witness_of
from federation.store.rows import StoredHead
from federation.wire import operations
from federation.wire.channel import dialling_of
from federation.wire.fetching import AnsweredOtherwise, Fetcher

EVERY = timedelta(seconds=10)
_CONFLICT = 409
_MEDIA_TYPE = "text/plain; charset=utf-8"
_MOST_ANSWER_BYTES = 16_384
_MOST_TRIES = 2
"""At one witness for one head: it says which size it keeps, and is asked again from there."""


@dataclass(frozen=True)
class PublicWitnesses:
    """The witnesses of the settings, each with its URL."""

    own: OwnLog
    witnesses: Sequence[tuple[str, PublicWitness]]
    fetcher: Fetcher

    def push(self) -> None:
        """Show the newest signed head to each that has not cosigned it."""
        head = self.own.heads.newest()
        if head is None:
            return
        lines = {it.witness_id for it in self.own.heads.cosignatures(head.number, head.size)}
        for number, (url, witness) in enumerate(self.witnesses, start=1):
            if public_id(witness.name) not in lines:
                self._tried(number, url, witness, head)

    def _tried(self, number: int, url: str, witness: PublicWitness, head: StoredHead) -> None:
        try:
            line = witness.line_of(head.note, self._asked(url, witness, head))
        except FederationError as error:
            operations.warning("head-not-cosigned-in-public", witness=number, reason=error.reason)
        else:
            self.own.keep_cosignature(head, public_id(witness.name), line, None)

    def _asked(self, url: str, witness: PublicWitness, head: StoredHead) -> bytes:
        old_size = self.own.heads.size_cosigned(head.number, public_id(witness.name))
        for _ in range(_MOST_TRIES):
            question = add_checkpoint(head.note, old_size, self.own.consistency(old_size, head.size))
            try:
                return self.fetcher.ask(f"{url.rstrip('/')}/add-checkpoint", question, _MEDIA_TYPE)
            except AnsweredOtherwise as answer:
                if answer.status != _CONFLICT:
                    raise
                old_size = read_kept_size(answer.content)
                if old_size > head.size:
                    break
        raise Unavailable("the witness keeps a larger head of this log, or another each time")


def public_chores(own: OwnLog, settings: LogSettings, dialling: DiallingSettings) -> list[Chore]:
    """Return the chore, where the settings name a public witness."""
    witnesses = [public_witness_of(it) for it in settings.public_witnesses]
    if not witnesses:
        return []
    push = PublicWitnesses(own, witnesses, Fetcher(_MOST_ANSWER_BYTES, dialling_of(dialling), plain=True)).push
    return [Chore("have-head-cosigned-in-public", EVERY, push, leased=True, thread="public-witnesses")]
