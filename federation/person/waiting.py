"""What a patient took back, hid or showed again while the public cloud did not answer: kept sealed, and sent when it answers.

Until then nobody else knows of it, and whoever does it is told so. What waits to be taken back is offered to no doctor from here.
What the cloud refuses when it answers is not done and waits no more: it is kept until the person was told why.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from federation.clock import Clock
from federation.errors import FederationError, Limit, Unavailable
from federation.party.member import Member
from federation.person.consents import Consents, KeptGrant, KeptMandate, Stated
from federation.person.errors import NoSuchGrant, NoSuchMandate
from federation.person.hiding import Hiding, HidingBook
from federation.person.places import PlacesBook
from federation.person.sealed_files import SealedFiles
from federation.person.visit_words import refused_act_words
from federation.protocol.access import Hidden
from federation.protocol.parties import Entropy
from federation.protocol.time import Instant
from federation.words import plain
from keystore.identities import PatientId

WAITING = "waiting"
"""What these files are called in their seals."""

_REVOKE, _END, _SWEEP, _HIDE, _SHOW = "revoke", "end", "sweep", "hide", "show"
_CALLED = {
    _SWEEP: "Taking back everything",
    _HIDE: "Hiding records",
    _SHOW: "Showing records again",
}
_NAME_BYTES = 16


@dataclass(frozen=True)
class WaitingAct:
    """Something that was done here and is not known to the cloud: what it needs to be sent, and why it never will be."""

    kind: str
    patient_id: PatientId
    at: Instant
    said: dict[str, Any]
    refused: str = ""


class WaitingActs:
    """What waits on one device, in files of its own."""

    def __init__(self, directory: Path, member: Member) -> None:
        """Keep it in this directory, sealed under this member's token key."""
        self._files = SealedFiles(directory, member, WAITING)

    def put(self, name: bytes, act: WaitingAct) -> None:
        """Keep an act; durable when this returns."""
        self._files.put(name, json.dumps(vars(act)).encode())

    def all(self) -> Sequence[tuple[bytes, WaitingAct]]:
        """Return what waits, the oldest first."""
        return [(name, act) for name, act in self._kept() if not act.refused]

    def refused(self) -> Sequence[tuple[bytes, WaitingAct]]:
        """Return what was refused and nobody was told of, the oldest first."""
        return [(name, act) for name, act in self._kept() if act.refused]

    def remove(self, name: bytes) -> None:
        """Forget what was sent, or told."""
        self._files.remove(name)

    def _kept(self) -> Sequence[tuple[bytes, WaitingAct]]:
        found = [(name, WaitingAct(**json.loads(content))) for name, content in self._files.all()]
        return sorted(found, key=lambda it: it[1].at)

    def is_taken_back(self, stated: Stated) -> bool:
        """Return whether a consent or a mandate waits to be taken back, by itself or with everything."""
        return any(
            (act.kind in (_REVOKE, _END) and act.said["id"] == stated.id.hex())
            or (act.kind == _SWEEP and act.patient_id == stated.patient_id and stated.stated_at <= act.at)
            for _, act in self.all()
        )


class PatientActs:
    """What a patient takes back and hides: at once, or where the public cloud does not answer when it does."""

    def __init__(
        self,
        acts: WaitingActs,
        consents: Consents,
        hiding: HidingBook,
        places: PlacesBook,
        *,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """Do it by these."""
        self._acts = acts
        self._consents = consents
        self._hiding = hiding
        self._places = places
        self._clock = clock
        self._entropy = entropy

    def revoke(self, grants: Sequence[KeptGrant]) -> bool:
        """Take consents back; return whether the cloud knows, else they wait. Raises the cloud's refusal, NoDeputy."""
        known = [self._revoked(kept) for kept in grants]
        return all(known)

    def end_mandate(self, number: int) -> tuple[KeptMandate, bool]:
        """End a mandate; return it, and whether the cloud knows. Raises NoSuchMandate, the cloud's refusal."""
        kept = self._consents.mandate(number)
        act = WaitingAct(_END, kept.mandate.patient_id, self._clock(), {"id": kept.mandate.id.hex()})
        return kept, self._done(act, lambda: self._consents.end(kept))

    def sweep(self, patient_id: PatientId) -> bool:
        """Take everything back that was signed in a patient's name until now; as `revoke`."""
        act = WaitingAct(_SWEEP, patient_id, self._clock(), {})
        return self._done(act, lambda: self._consents.sweep(patient_id, act.at + 1))

    def hide(self, patient_id: PatientId, hidden: Hidden, emergency_overrides: bool | None = None) -> Hiding | None:
        """Hide more; return what stands, or None where it waits. Raises the cloud's refusal, NoDeputy."""
        self._places.hide(patient_id, hidden)
        said = {"hidden": astuple(hidden), "emergency_overrides": emergency_overrides}
        found: list[Hiding] = []
        act = WaitingAct(_HIDE, patient_id, self._clock(), said)
        self._done(act, lambda: found.append(self._hiding.hide(patient_id, hidden, emergency_overrides)))
        return found[0] if found else None

    def show_again(self, patient_id: PatientId, numbers: Sequence[int] | None) -> Hiding | None:
        """Hide these no longer, or nothing; return what stands, or None where it waits: what they were when they were shown last.

        Raises NoSuchHiding, the cloud's refusal, NoDeputy; Unavailable where nothing here says what they are.
        """
        try:
            return self._hiding.show_again(patient_id, numbers)
        except Unavailable:
            shown = self._hiding.known(patient_id, numbers)
            if shown is None:
                raise
        act = WaitingAct(_SHOW, patient_id, self._clock(), {"shown": [astuple(it) for it in shown]})
        self._acts.put(self._entropy(_NAME_BYTES), act)
        return None

    def waiting(self) -> int:
        """Return how much waits."""
        return len(self._acts.all())

    def send(self) -> int:
        """Send what waits, the oldest first, and return how much was sent; it ends where the cloud does not answer, or is busy.

        What the cloud refuses is not done, and waits no more; `take_refused` says so.
        """
        sent = 0
        for name, act in self._acts.all():
            try:
                self._send(act)
            except (Unavailable, Limit):
                break
            except FederationError as error:
                self._acts.put(name, replace(act, refused=plain(error)))
                continue
            self._acts.remove(name)
            sent += 1
        return sent

    def take_refused(self) -> list[str]:
        """Return, in words, what waited and was refused, and forget it: the person is told once."""
        found = self._acts.refused()
        told = [refused_act_words(self._called(act), act.at, act.refused) for _, act in found]
        for name, _ in found:
            self._acts.remove(name)
        return told

    def _called(self, act: WaitingAct) -> str:
        if act.kind == _REVOKE:
            numbers = [it.number for it in self._consents.grants() if it.grant.id.hex() == act.said["id"]]
            return f"Taking back your consent{f' no. {numbers[0]}' if numbers else ''}"
        if act.kind == _END:
            return f"Ending your mandate for {self._mandate(act).mandate.deputy_id}"
        return f"{_CALLED[act.kind]} of {act.patient_id}"

    def _revoked(self, kept: KeptGrant) -> bool:
        act = WaitingAct(_REVOKE, kept.grant.patient_id, self._clock(), {"id": kept.grant.id.hex()})
        return self._done(act, lambda: self._consents.revoke([kept]))

    def _done(self, act: WaitingAct, do: Callable[[], object]) -> bool:
        try:
            do()
        except Unavailable:
            self._acts.put(self._entropy(_NAME_BYTES), act)
            return False
        return True

    def _send(self, act: WaitingAct) -> None:
        if act.kind == _REVOKE:
            self._consents.revoke([self._grant(act)])
        elif act.kind == _END:
            self._consents.end(self._mandate(act))
        elif act.kind == _SWEEP:
            self._consents.sweep(act.patient_id, act.at + 1)
        elif act.kind == _HIDE:
            self._hiding.hide(act.patient_id, Hidden(*act.said["hidden"]), act.said["emergency_overrides"])
        else:
            self._hiding.show(act.patient_id, [Hidden(*it) for it in act.said["shown"]])

    def _grant(self, act: WaitingAct) -> KeptGrant:
        for kept in self._consents.grants():
            if kept.grant.id.hex() == act.said["id"]:
                return kept
        raise NoSuchGrant("The consent that waits to be taken back is not kept here any more.")

    def _mandate(self, act: WaitingAct) -> KeptMandate:
        for kept in self._consents.mandates():
            if kept.mandate.id.hex() == act.said["id"]:
                return kept
        raise NoSuchMandate("The mandate that waits to be ended is not kept here any more.")
