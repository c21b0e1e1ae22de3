"""Backup and restore at a ceremony: keys from a seed in shares (docs/adr/0017-backup.md).

The seed and the shares are in memory alone. If the ceremony is interrupted before every officer has typed their share back,
the keys are destroyed and made again from another seed.
"""

import hmac

from keystore.backup import BackupCard, RecoverableKeys, new_seed
from keystore.ceremony.errors import CeremonyError
from keystore.ceremony.kinds import KeySpec, known_key
from keystore.ceremony.pins import taken_shares
from keystore.ceremony.recording import record_key
from keystore.ceremony.room import Room
from keystore.errors import BackupCardRejected, MixedShares
from keystore.quorum import Share


def make(room: Room) -> None:
    """Make the keys, have the shares written down and typed back. Raises MixedShares, CorruptShare, HsmError."""
    threshold = room.plan.threshold
    if threshold is None:
        raise CeremonyError("the file names no quorum")
    if room.state.card is None:
        _start_anew(room)
        holders = room.plan.roles.officers
        seed = new_seed(room.token)
        made = RecoverableKeys.create(room.token, room.plan.recoverable, seed, threshold=threshold, holders=holders)
        for share in made.shares:
            room.desk.show_share(share.holder, share.text())
        for share in made.shares:
            _require_written(share, room)
        room.state.card = made.card.to_json()
        room.state.save()
    _record(BackupCard.from_json(room.state.card), room)


def restore(room: Room) -> None:
    """Put the keys of the card into the token. Raises TooFewShares, MixedShares, ..., BackupCardRejected, HsmError."""
    if room.plan.backup is None or room.plan.backup.card is None:
        raise CeremonyError("the file names no card")
    card = BackupCard.from_json(room.plan.backup.card.read_text(encoding="utf-8"))
    if {entry.key for entry in card.keys} != set(room.plan.recoverable):
        raise BackupCardRejected("The card is of other keys than this ceremony's.")
    shares = taken_shares(room)
    _start_anew(room)
    token = room.tokens.pop("token")  # a restore that fails closes it
    room.tokens["token"] = RecoverableKeys.restore(lambda: token, shares, card)
    _record(card, room)


def _start_anew(room: Room) -> None:
    """Destroy what an interrupted attempt left, and note what is about to be made."""
    labels = [key.label for key in room.plan.recoverable]
    for label in set(labels) & set(room.state.made):
        if room.token.has(label):
            room.token.destroy(label)
            room.transcript.add("destroyed", room.plan.roles.administrator, label=label, why="half-made")
    room.state.made = sorted({*room.state.made, *labels})
    room.state.save()


def _require_written(share: Share, room: Room) -> None:
    typed = Share.parse(room.desk.take_share(share.holder))
    if not hmac.compare_digest(typed.words.encode(), share.words.encode()):
        raise MixedShares(f"{share.holder} typed another share than the one that was shown")


def _record(card: BackupCard, room: Room) -> None:
    facts = {"threshold": card.threshold, "officers": list(card.holders), "splitting": card.splitting}
    room.transcript.add("backup", room.plan.roles.administrator, card=card.digest.hex(), **facts)
    room.show_digest("the backup card", card.digest)
    for key in room.plan.recoverable:
        spec = known_key(key.label)
        record_key(KeySpec(key.label, key.policy, spec.purpose if spec else ""), room, imported=True)
