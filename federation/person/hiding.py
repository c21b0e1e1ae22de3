"""What a patient hides, from the client's side. The public cloud is asked each time what stands: any device goes on from it.

Numbers count what is hidden as it stands: the first is 1, and they move up when one is shown again. What was shown last is
kept, sealed: where the cloud does not answer a number means that.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from federation.clinical.text import counted
from federation.clock import Clock
from federation.party.cloud_client import CloudClient
from federation.party.member import Member
from federation.person.consents import Consents
from federation.person.errors import NoSuchHiding
from federation.person.sealed_files import SealedFiles
from federation.protocol.access import Hidden
from federation.protocol.restriction import Restriction, Standings, Stating, make_restriction
from federation.v1.access_pb2 import Deputyship
from federation.v1.statement_pb2 import POWER_RESTRICT
from keystore.identities import ANY, PatientId
from keystore.transcript import digest, text, transcript

HIDDEN = "hidden"
"""What these files are called in their seals."""

_NAME_BYTES = 16


@dataclass(frozen=True)
class Hiding:
    """What a patient hides, and how many hospitals where it has records have it, and still lack it."""

    restriction: Restriction
    hospitals_with: int
    hospitals_without: int


class HidingBook:
    """What a patient hides of its own records, or a deputy with the power "restrict" of another's.

    Each method raises NoDeputy, the cloud's refusal, and Rejected for an answer that does not hold.
    """

    def __init__(
        self, directory: Path, member: Member, cloud: CloudClient, consents: Consents, *, clock: Clock
    ) -> None:
        """State it at this cloud; `consents` know for whom the member stands. What was shown last is kept in this directory."""
        self._files = SealedFiles(directory, member, HIDDEN)
        self._member = member
        self._cloud = cloud
        self._consents = consents
        self._clock = clock

    def look(self, patient_id: PatientId) -> Hiding:
        """Return what stands."""
        return self._seen(
            patient_id,
            *self._cloud.restrict(self._member, patient_id, deputyship=self._deputyship(patient_id)),
        )

    def hide(self, patient_id: PatientId, hidden: Hidden, emergency_overrides: bool | None = None) -> Hiding:
        """Hide more; None leaves as it stands whether an emergency opens what is hidden.

        Raises RestrictionSuperseded where another device was faster.
        """

        def more(stands: Restriction) -> Restriction:
            kept = stands.emergency_overrides if emergency_overrides is None else emergency_overrides
            rest = [one for one in stands.hidden if one != hidden]
            return replace(stands, hidden=(*rest, hidden), emergency_overrides=kept)

        return self._change(patient_id, more)

    def show_again(self, patient_id: PatientId, numbers: Sequence[int] | None) -> Hiding:
        """Hide these no longer, by their numbers, or nothing at all where they are None. Raises NoSuchHiding."""

        return self._change(patient_id, lambda stands: _without(stands, _numbered(stands.hidden, numbers)))

    def show(self, patient_id: PatientId, shown: Sequence[Hidden]) -> Hiding:
        """Hide none of these any longer, whatever their numbers are by now."""
        return self._change(patient_id, lambda stands: _without(stands, shown))

    def known(self, patient_id: PatientId, numbers: Sequence[int] | None) -> Sequence[Hidden] | None:
        """Return what these numbers, or all, meant when it was shown here last; None where it never was.

        Raises NoSuchHiding, SealBroken.
        """
        kept = self._files.get(_name(patient_id))
        return None if kept is None else _numbered([Hidden(*it) for it in json.loads(kept)], numbers)

    def _change(self, patient_id: PatientId, change: Callable[[Restriction], Restriction]) -> Hiding:
        deputyship = self._deputyship(patient_id)
        _, stands = self._cloud.restrict(self._member, patient_id, deputyship=deputyship)
        now = self._clock()
        signed = make_restriction(
            self._member.party(now), change(stands), above=stands.number, now=now, deputyship=deputyship
        )
        stating = Stating(signed, stands.number)
        return self._seen(patient_id, *self._cloud.restrict(self._member, patient_id, stating, deputyship))

    def _seen(self, patient_id: PatientId, standings: Standings, stands: Restriction) -> Hiding:
        self._files.put(_name(patient_id), json.dumps([astuple(it) for it in stands.hidden]).encode())
        return Hiding(stands, standings.hospitals_with, standings.hospitals_without)

    def _deputyship(self, patient_id: PatientId) -> Deputyship | None:
        if patient_id == self._member.identity:
            return None
        return self._consents.acting_for(patient_id, POWER_RESTRICT).shown


def _numbered(hidden: Sequence[Hidden], numbers: Sequence[int] | None) -> Sequence[Hidden]:
    """Return those of these numbers, all of them for None. Raises NoSuchHiding."""
    for number in numbers or ():
        if not 1 <= number <= len(hidden):
            raise NoSuchHiding(f"You hide nothing of the number {number}.")
    return hidden if numbers is None else [hidden[number - 1] for number in numbers]


def _without(stands: Restriction, shown: Sequence[Hidden]) -> Restriction:
    return replace(stands, hidden=tuple(it for it in stands.hidden if it not in shown))


def _name(patient_id: PatientId) -> bytes:
    return digest(transcript("hidden-kept", text(patient_id)))[:_NAME_BYTES]


def hidden_words(hidden: Hidden) -> str:
    """Return what is hidden."""
    where = "every hospital" if hidden.hospital == ANY else hidden.hospital
    of_class = "" if hidden.department_class == ANY else f" of {hidden.department_class}"
    if hidden.handle != ANY:
        return f"Record {hidden.handle}{of_class} at {where}."
    return f"All records{of_class} at {where}."


def hiding_lines(hiding: Hiding) -> Iterator[str]:
    """Yield what is hidden, by its numbers, then what that means and who has it yet."""
    hidden = hiding.restriction.hidden
    if not hidden:
        yield "Nothing is hidden."
    yield from (f"{number}  {hidden_words(one)}" for number, one in enumerate(hidden, start=1))
    yield from standing_lines(hiding)


def standing_lines(hiding: Hiding) -> Iterator[str]:
    """Yield what stands of what is hidden: in an emergency, at the public cloud, at hospitals."""
    restriction, lacking = hiding.restriction, hiding.hospitals_without
    if restriction.hidden:
        sees = "sees it all the same" if restriction.emergency_overrides else "does not see it either"
        yield f"A doctor who declares an emergency {sees}."
    if restriction.number == 0:
        return
    yield "The public cloud's index goes by this already."
    if lacking:
        yield f"{counted(lacking, 'hospital')} where there are records will have it within seconds; ask again."
    else:
        yield f"So does every hospital where there are records ({hiding.hospitals_with})."
