"""A record of 100 MB under way, and what it goes by falls: each statement that can be taken back, and whoever stands behind it.

`test_cut_attacks` has the doctor's credential, its certificate and the grant itself. Here is everything else that the access
rests on. Each stream is seen to be cut at its reader's end, and the log says for what.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import (
    DeputyExpired,
    DutyExpired,
    FederationError,
    GrantRevoked,
    NotFound,
    Rejected,
    StaleRevocationList,
)
from federation.party.member import Member
from federation.protocol.access import AccessEvent, Hidden, Receiver, ToDepartment, ToDoctor
from federation.protocol.access import Question as AccessQuestion
from federation.protocol.anchors import statement_entry, sweep_entry
from federation.protocol.consent import (
    Ward,
    make_grant,
    make_guardianship,
    make_mandate,
    peek_deputyship,
    peek_duty,
)
from federation.protocol.frames import SLICE_BYTES
from federation.protocol.record import Intent, Slice
from federation.protocol.shown import Shown, asker_of
from federation.v1.access_pb2 import Access, Consent, Deputyship, OwnAccess
from federation.v1.record_pb2 import PURPOSE_READ, Scope
from federation.v1.statement_pb2 import POWER_GRANT, POWER_READ, RIGHT_READ
from tests.grants import WIDE, wide
from tests.hiding import hide
from tests.hospital_lab import JOHNNIE, Client, HospitalLab, Session
from tests.simulator import Federation
from tests.waiting import until

SLICES = 100
IN_FLIGHT = 3
"""Slices that may be on their way when it falls: the reader's window holds less than one more."""
OF_AGE_MS = 60_000
DEPARTMENT = ToDepartment("H:alpha", "cardiology")
ELSEWHERE = ToDepartment("H:beta", "cardiology")


@dataclass
class Reading:
    """Who reads by what, and how it is made to fall."""

    shown: Callable[[Federation], Shown]
    falls: Callable[[HospitalLab, Shown], None]
    told: type[FederationError]
    reason: str
    reader: Callable[[Federation], Member] = lambda federation: federation.doctor


def by_grant(federation: Federation) -> Shown:
    return federation.shown(federation.grant())


def on_duty(federation: Federation) -> Shown:
    return federation.shown(federation.grant(grantee=DEPARTMENT))


def on_duty_elsewhere(federation: Federation) -> Shown:
    return federation.shown(federation.grant(grantee=ELSEWHERE), hospital=federation.hospital_b)


def mandate(federation: Federation) -> Deputyship:
    now, powers = federation.clock.now, (POWER_GRANT, POWER_READ)
    patient = federation.party(federation.patient)
    signed = make_mandate(patient, "P:lin", powers, timedelta(days=30), now=now, entropy=federation.entropy)
    return Deputyship(mandate=signed, key_statement=federation.patient.key_statement)


def guardianship(federation: Federation) -> Deputyship:
    now, hospital = federation.clock.now, federation.hospital_a
    ward = Ward("P:wang", "P:lin", "parent", "officer seven", (POWER_GRANT, POWER_READ), now + OF_AGE_MS)
    signed = make_guardianship(federation.party(hospital), ward, now=now, entropy=federation.entropy)
    return Deputyship(guardianship=signed, key_statement=hospital.key_statement)


def granted_by(made: Callable[[Federation], Deputyship]) -> Callable[[Federation], Shown]:
    """What the doctor shows who has the deputy's grant."""

    def shown(federation: Federation) -> Shown:
        deputy, deputyship = federation.other_patient, made(federation)
        federation.refresh()
        to = ToDoctor("D:chen", federation.party(federation.doctor).self_.authority_id)
        now, entropy = federation.clock.now, federation.entropy
        grant = make_grant(federation.party(deputy), to, WIDE, now=now, entropy=entropy, deputyship=deputyship)
        held = Consent(grant=grant, key_statement=deputy.key_statement, deputyship=deputyship)
        return Shown.by_consent(held, "P:wang")

    return shown


def own_by(made: Callable[[Federation], Deputyship]) -> Callable[[Federation], Shown]:
    """What the deputy shows who reads itself."""

    def shown(federation: Federation) -> Shown:
        federation.other_patient  # noqa: B018 - registered before the lists are handed out
        federation.refresh()
        return Shown("P:wang", Access(own=OwnAccess(deputyship=made(federation))))

    return shown


def swept(lab: HospitalLab, _: Shown) -> None:
    lab.federation.cloud.sweeps[sweep_entry("P:wang")] = lab.federation.clock.now + 1
    lab.federation.refresh()


def duty_listed(lab: HospitalLab, shown: Shown) -> None:
    duty = peek_duty(shown.access.consent.duty)
    lab.federation.cloud.revoked_statements.append(statement_entry("duty", duty.hospital_id, duty.id))
    lab.federation.refresh()


def hidden_meanwhile(lab: HospitalLab, _: Shown) -> None:
    hide(lab, Hidden("H:alpha"))
    # Looked at twice a second, as the roster is.
    until(lambda: _last(lab).reason == "NO_SUCH_RECORD", lambda: f"the log says {_last(lab).reason}")


def duty_ended_here(lab: HospitalLab, _: Shown) -> None:
    lab.off_duty()
    # A list is looked at before each slice, the roster twice a second: the reader, who takes nothing meanwhile, is cut too.
    until(lambda: _last(lab).reason == "DUTY_REVOKED", lambda: f"the log says {_last(lab).reason}")


def deputyship_listed(lab: HospitalLab, shown: Shown) -> None:
    holder = shown.access.consent if shown.ground == "consent" else shown.access.own
    held = peek_deputyship(holder.deputyship)
    owner = held.stated_by if held.kind == "guardian" else held.patient_id
    lab.federation.cloud.revoked_statements.append(statement_entry(held.kind, owner, held.id))
    lab.federation.refresh()


def of_age(lab: HospitalLab, _: Shown) -> None:
    lab.federation.clock.now += OF_AGE_MS
    lab.federation.refresh()


def revoked(who: Callable[[Federation], Member]) -> Callable[[HospitalLab, Shown], None]:
    def falls(lab: HospitalLab, _: Shown) -> None:
        lab.federation.revoke(who(lab.federation), lab.federation.hospital_a)

    return falls


def deputy(federation: Federation) -> Member:
    return federation.other_patient


READINGS = {
    "hidden-meanwhile": Reading(by_grant, hidden_meanwhile, NotFound, "NO_SUCH_RECORD"),
    "everything-before": Reading(by_grant, swept, GrantRevoked, "GRANT_REVOKED"),
    "patients-credential": Reading(by_grant, revoked(lambda it: it.patient), Rejected, "CREDENTIAL_REVOKED"),
    "duty-by-list": Reading(on_duty, duty_listed, DutyExpired, "DUTY_REVOKED"),
    "duty-by-roster": Reading(on_duty, duty_ended_here, DutyExpired, "DUTY_REVOKED"),
    "duty-elsewhere": Reading(on_duty_elsewhere, duty_listed, DutyExpired, "DUTY_REVOKED"),
    "duty-hospitals-credential": Reading(
        on_duty_elsewhere, revoked(lambda it: it.hospital_b), Rejected, "CREDENTIAL_REVOKED"
    ),
    "mandate-behind-grant": Reading(granted_by(mandate), deputyship_listed, DeputyExpired, "DEPUTY_REVOKED"),
    "mandate-swept": Reading(own_by(mandate), swept, DeputyExpired, "DEPUTY_REVOKED", deputy),
    "mandate-of-reader": Reading(own_by(mandate), deputyship_listed, DeputyExpired, "DEPUTY_REVOKED", deputy),
    "deputys-credential": Reading(granted_by(mandate), revoked(deputy), Rejected, "CREDENTIAL_REVOKED"),
    "guardian-behind-grant": Reading(granted_by(guardianship), deputyship_listed, DeputyExpired, "DEPUTY_REVOKED"),
    "guardian-of-reader": Reading(own_by(guardianship), deputyship_listed, DeputyExpired, "DEPUTY_REVOKED", deputy),
    "child-comes-of-age": Reading(own_by(guardianship), of_age, DeputyExpired, "DEPUTY_EXPIRED", deputy),
}


class Stream:
    """A release to one reader, slice by slice."""

    def __init__(self, client: Client, session: Session, reader: Member, intent: Intent) -> None:
        self._federation, self._session, self._reader = client.federation, session, reader
        established = client.establish(session, intent, reader)
        self._state, frame = established.query(now=self._federation.clock.now)
        session.send(frame=frame)

    @property
    def arrived(self) -> int:
        """Bytes of the record so far."""
        return self._state.incoming.arrived

    def take(self) -> None:
        frame, now = self._session.receive().frame, self._federation.clock.now
        self._state, piece = self._state.receive(frame, self._reader.verifier(), now=now)
        assert isinstance(piece, Slice), "the record went out whole"

    def rest(self, told: type[FederationError]) -> int:
        """Take what comes until the refusal; give how many slices came."""
        number = 0
        while True:
            try:
                self.take()
            except told:
                return number
            number += 1


@pytest.mark.parametrize("name", READINGS)
def test_record_under_way_is_cut_once_what_it_goes_by_falls(
    lab: HospitalLab, client: Client, tmp_path: Path, name: str
) -> None:
    reading, federation = READINGS[name], lab.federation
    scan = tmp_path / "scan.bin"
    scan.write_bytes(bytes(SLICES * SLICE_BYTES))
    lab.import_files(JOHNNIE, "P:wang", "H:alpha/cardiology", scan)
    shown = reading.shown(federation)
    intent = Intent(shown, Scope(purpose=PURPOSE_READ, department_class="*"), federation.entropy(32))
    with client.session() as session:
        stream = Stream(client, session, reading.reader(federation), intent)
        while stream.arrived < 3 * SLICE_BYTES:
            stream.take()
        reading.falls(lab, shown)
        after = stream.rest(reading.told)
    assert after <= IN_FLIGHT
    until(lambda: _last(lab).reason == reading.reason, lambda: f"the log says {_last(lab).reason}")
    assert _last(lab).kind == "READ"
    assert int(_last(lab).detail.removesuffix(" bytes sent")) >= 3 * SLICE_BYTES


def test_a_clock_set_back_an_hour_brings_no_expired_grant_back(federation: Federation) -> None:
    """An operator, or a false time server, sets the hospital's clock back to when the grant held."""
    hospital = federation.hospital_a
    shown = federation.shown(federation.grant(wide(life=timedelta(minutes=30))))
    asker = hospital.verifier().doctor(
        federation.doctor.key_statement, federation.doctor.certificate, now=federation.clock.now
    )
    question = AccessQuestion(asker_of(asker), RIGHT_READ, "P:wang", "H:alpha")
    shown.decide(asker, question, hospital.verifier(), Receiver(), now=federation.clock.now)
    federation.clock.advance(timedelta(minutes=90))
    federation.refresh()
    with pytest.raises(Rejected) as refused:
        shown.decide(asker, question, hospital.verifier(), Receiver(), now=federation.clock.now - 3_600_000 - 2_000_000)
    assert isinstance(refused.value.__cause__, StaleRevocationList)


def _last(lab: HospitalLab) -> AccessEvent:
    return [it.event for it in lab.hospital.audit.entries() if isinstance(it.event, AccessEvent)][-1]
