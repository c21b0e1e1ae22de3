"""Visits, emergencies, deposits and what a patient takes back, while the public cloud does not answer for three days."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import (
    CredentialRevoked,
    GrantRevoked,
    Limit,
    NewerThanList,
    RevocationShardMissing,
    Unavailable,
)
from federation.party.crls import MOST_CRL_BYTES
from federation.person.doctor import DoctorRoom
from federation.person.errors import NoSuchHiding
from federation.person.patient import PatientClient
from federation.person.places import Brought, Handed
from federation.person.records import Allowance, no_progress
from federation.protocol.access import AccessEvent, Hidden
from federation.protocol.consent import Declaration, Terms
from federation.protocol.consultation import InConsultation
from federation.protocol.emergency_policy import EmergencyPolicy
from federation.protocol.index import Location
from federation.v1.statement_pb2 import POWER_READ, RevocationExcerpt
from federation.wire.fetching import Fetcher
from hsm import Token
from keystore.identities import PatientId
from tests.emergencies import REASON, let_in
from tests.grants import wide
from tests.hospital_lab import HospitalLab, report
from tests.list_server import ListServer, list_server
from tests.mallory import refused
from tests.simulator import Federation
from tests.unit.person.conftest import CloudInMemory, Surgery, make_doctor
from tests.unit.person.visits import meet, to_doctor
from tests.waiting import until

GRACE = timedelta(hours=72)
MONTH = wide(life=timedelta(days=30))
WANG = PatientId("P:wang")


def silent(*_asked: object) -> RevocationExcerpt:
    raise Unavailable("nobody answers")


@dataclass
class Dark:
    """A surgery whose cloud goes dark."""

    surgery: Surgery
    server: ListServer
    handle: bytes

    @property
    def federation(self) -> Federation:
        return self.surgery.federation

    def falls(self) -> None:
        """Let the cloud fall silent for everybody, who asked it for their own shards when they refreshed last."""
        for member in (self.federation.doctor, self.federation.patient):
            member.lists.want(member.own_entries)
        self._silence(is_dark=True)

    def falls_at_once(self) -> None:
        """Let it fall silent for who has nothing of the newest list but its head, and deals with nobody who answers."""
        self._silence(is_dark=True)
        for member in (self.federation.doctor, self.federation.patient):
            for number in range(4):
                member.lists.ask_beside(f"H:{number}", silent)

    def returns(self) -> None:
        """Let it answer again; hospitals hear from it."""
        self._silence(is_dark=False)
        self.federation.refresh(self.federation.hospital_a)

    def goes_on(self, duration: timedelta) -> None:
        self.federation.clock.advance(duration)
        self.server.files["/board.crl"] = self.federation.authority.crl()
        fetcher = Fetcher(MOST_CRL_BYTES, ca=self.server.ca)
        self.federation.hospital_a.follow_authorities(fetcher, self.federation.clock.now)

    def visit(self, patient: PatientClient, terms: Terms | None, under: int | None = None) -> "Seen":
        """Let the patient visit with a new consent, or under an earlier one."""
        room = self.surgery.doctor.open_room("H:alpha", self.surgery.address)
        view = patient.look(room.code)
        offer = to_doctor(view, terms) if under is None and terms is not None else patient.consents.grant(under or 0)
        handed: list[Handed] = []
        _, present = meet(self.surgery, room, patient, view, offer, on_handed=handed.append)
        return Seen(room, present, handed)

    @property
    def accesses(self) -> list[AccessEvent]:
        return [it.event for it in self.surgery.lab.hospital.audit.entries() if isinstance(it.event, AccessEvent)]

    def _silence(self, *, is_dark: bool) -> None:
        cloud = self.federation.cloud
        self.surgery.cloud.is_dark = is_dark
        for member in (self.federation.doctor, self.federation.patient):
            member.lists.ask_of(silent if is_dark else cloud.shards)


@dataclass(frozen=True)
class Seen:
    """A visit under way, at the doctor."""

    room: DoctorRoom
    present: InConsultation
    handed: Sequence[Handed]


@pytest.fixture
def dark(make_token: Callable[[str], Token], tmp_path: Path) -> Iterator[Dark]:
    """Give a surgery with a patient whom its hospital knows, and whose device knows where its records are."""
    (tmp_path / "hospital").mkdir()
    with list_server(tmp_path) as server:
        federation = Federation(make_token, os.urandom, GRACE)
        federation.authority.crl_url = server.url()
        federation.cloud.publish_bundle()
        federation.refresh()
        with HospitalLab(federation, tmp_path / "hospital") as lab:
            handle = lab.import_files()
            federation.cloud.publish(WANG, Location("H:alpha/cardiology", handle))
            with let_in(lab, EmergencyPolicy(frozenset({REASON}))).serving() as client:
                cloud = CloudInMemory(federation)
                doctor = make_doctor(federation, tmp_path, lambda _address, _identity: client.channel, cloud)
                surgery = Surgery(federation, lab, client.channel, tmp_path, doctor, cloud)
                yield Dark(surgery, server, handle)


def known(dark: Dark) -> PatientClient:
    """The patient has searched for its own records, and given the doctor a consent for a month."""
    patient = dark.surgery.patient()
    assert [it.handle for it in patient.find_records()] == [dark.handle]
    dark.visit(patient, MONTH)
    dark.federation.clock.advance(timedelta(minutes=1))
    dark.federation.refresh()
    return patient


def found(dark: Dark, seen: Seen) -> tuple[list[bytes], Brought]:
    brought: list[Brought] = []
    locations = dark.surgery.doctor.search(seen.present, on_brought=brought.append)
    (one,) = brought
    return [it.handle for it in locations], one


def fetched(dark: Dark, seen: Seen) -> int:
    brought: list[Brought] = []
    locations = dark.surgery.doctor.search(seen.present, on_brought=brought.append)
    records = list(dark.surgery.doctor.fetch(seen.present, locations))
    for record in records:
        record.close()
    return len(records)


def test_known_patient_is_visited_with_the_hub_dark_for_three_days(dark: Dark) -> None:
    patient = known(dark)
    as_of = dark.surgery.patient().places.as_of(WANG)
    dark.falls()
    for hours in (2, 68, 2):
        dark.goes_on(timedelta(hours=hours))
        seen = dark.visit(patient, None, under=1)
        assert [it.hospitals for it in seen.handed] == [("H:alpha",)]
        handles, brought = found(dark, seen)
        assert (handles, brought.as_of, brought.missing) == ([dark.handle], as_of, {})
        assert fetched(dark, seen) == 1
    assert dark.surgery.cloud.searches == 1, "the patient's own"
    until(lambda: dark.accesses[-1].reason == "OK", "the end is logged")
    assert (dark.accesses[-1].list_age_seconds or 0) // 3600 == 72


def test_consent_of_now_opens_nothing_and_its_diagnosis_is_deposited(dark: Dark) -> None:
    patient = known(dark)
    dark.falls()
    dark.goes_on(timedelta(hours=70))
    seen = dark.visit(patient, MONTH)
    with refused(NewerThanList):
        fetched(dark, seen)
    doctor = dark.surgery.doctor
    diagnosed = doctor.diagnose(seen.room, seen.present, report(dark.federation), [])
    prepared = doctor.prepare_deposit(diagnosed, "H:alpha", dark.surgery.address, "cardiology")
    assert doctor.deposit(prepared).handle
    assert dark.surgery.lab.hospital.stores.outbox.size() == 2, "the import's and the deposit's wait"


def test_consent_that_was_taken_back_before_is_refused_all_the_while(dark: Dark) -> None:
    patient = known(dark)
    patient.consents.revoke([patient.consents.grant(1)])
    dark.federation.refresh()
    dark.falls()
    for hours in (2, 69):
        dark.goes_on(timedelta(hours=hours))
        with refused(GrantRevoked):
            dark.visit(patient, None, under=1)


def test_doctor_goes_by_what_is_brought_only_where_the_cloud_does_not_answer(dark: Dark) -> None:
    """A doctor may say that the cloud is dark: the patient's device asks it itself, and hands nothing on."""
    patient = known(dark)
    seen = dark.visit(patient, None, under=1)
    assert seen.handed == []
    assert seen.present.places is None
    dark.falls()
    seen = dark.visit(patient, None, under=1)
    dark.returns()
    brought: list[Brought] = []
    searches = dark.surgery.cloud.searches
    assert dark.surgery.doctor.search(seen.present, on_brought=brought.append)
    assert (brought, dark.surgery.cloud.searches) == ([], searches + 1)


def test_doctor_who_asks_for_nothing_brought_is_told_that_the_cloud_is_dark(dark: Dark) -> None:
    patient = known(dark)
    dark.falls()
    dark.goes_on(timedelta(hours=2))
    seen = dark.visit(patient, None, under=1)
    with pytest.raises(Unavailable):
        dark.surgery.doctor.search(seen.present)


def test_who_never_had_a_shard_of_the_newest_list_asks_the_hospital(dark: Dark) -> None:
    """The cloud falls between its list and the shards of it: neither side can look its own key up at home."""
    patient, federation = known(dark), dark.federation
    federation.cloud.revoked_serials.append(bytes(16))
    directory = federation.cloud.directory()
    for member in (federation.doctor, federation.patient):
        member.update(directory)
    federation.refresh(federation.hospital_a)
    dark.falls_at_once()
    for member in (federation.doctor, federation.patient):
        with refused(RevocationShardMissing):
            member.party(federation.clock.now)
    seen = dark.visit(patient, None, under=1)
    assert fetched(dark, seen) == 1


def test_emergency_is_read_at_a_hospital_that_is_asked_itself(dark: Dark) -> None:
    known(dark)
    dark.falls()
    dark.goes_on(timedelta(hours=71))
    emergencies = dark.surgery.doctor.emergencies
    said = Declaration(WANG, REASON, "Found on the street.", "*", None)
    declared = emergencies.declare(said, "H:alpha", dark.surgery.address)
    with pytest.raises(Unavailable):
        emergencies.find(declared, lambda: None)
    record = emergencies.fetch_directly(declared, "H:alpha", dark.surgery.address, no_progress, Allowance())
    assert [entry.handle for entry in record.manifest.records] == [dark.handle]
    record.close()


def test_what_a_patient_takes_back_waits_and_is_sent_once(dark: Dark) -> None:
    patient = known(dark)
    dark.falls()
    assert not patient.acts.revoke([patient.consents.grant(1)])
    assert patient.consents.grant(1).is_revoked, "it is offered to nobody from here"
    again = dark.surgery.patient()
    assert (again.acts.waiting(), again.acts.send()) == (1, 0)
    dark.returns()
    again.refresh()
    assert again.acts.waiting() == 0
    assert dark.surgery.cloud.revocations == [("P:wang", None)]
    dark.federation.refresh()
    assert again.consents.grant(1).is_revoked


def test_everything_that_is_taken_back_is_what_was_signed_until_then(dark: Dark) -> None:
    patient = known(dark)
    dark.falls()
    dark.goes_on(timedelta(hours=1))
    assert not patient.acts.sweep(WANG)
    dark.returns()
    dark.federation.clock.advance(timedelta(hours=1))
    dark.visit(patient, MONTH)  # which sends what waits
    assert patient.acts.waiting() == 1, "a visit refreshes by itself"
    assert patient.acts.send() == 1
    assert [kept.is_revoked for kept in patient.consents.grants()] == [True, False]


def test_what_is_to_be_hidden_waits_and_is_handed_to_nobody_meanwhile(dark: Dark) -> None:
    patient = known(dark)
    dark.falls()
    assert patient.acts.hide(WANG, Hidden(hospital="H:alpha")) is None
    assert dark.visit(patient, None, under=1).handed == []
    dark.returns()
    assert patient.acts.send() == 1
    assert [it.hospital for it in dark.surgery.cloud.hidden["P:wang"].hidden] == ["H:alpha"]


def test_mandate_that_is_ended_waits_and_gives_no_power_from_here(dark: Dark) -> None:
    patient = known(dark)
    patient.consents.appoint(PatientId("P:lin"), [POWER_READ], timedelta(days=30))
    dark.falls()
    ended, is_known = patient.acts.end_mandate(1)
    assert (ended.mandate.deputy_id, is_known) == ("P:lin", False)
    again = dark.surgery.patient()
    assert [kept.is_revoked for kept in again.consents.mandates()] == [True]
    dark.returns()
    assert (again.acts.send(), again.acts.waiting()) == (1, 0)
    assert dark.surgery.cloud.revocations == [("P:wang", None)]
    dark.federation.refresh()
    assert [kept.is_revoked for kept in again.consents.mandates()] == [True]


def test_mandates_wait_with_everything_that_is_taken_back(dark: Dark) -> None:
    patient = known(dark)
    patient.consents.appoint(PatientId("P:lin"), [POWER_READ], timedelta(days=30))
    dark.falls()
    assert not patient.acts.sweep(WANG)
    assert [kept.is_revoked for kept in patient.consents.mandates()] == [True]


def test_what_is_to_be_shown_again_waits_by_what_it_is_and_not_by_its_number(dark: Dark) -> None:
    """Another device shows the first one meanwhile: its number is the second one's then, which stays hidden."""
    patient = known(dark)
    for hospital in ("H:alpha", "H:beta"):
        patient.acts.hide(WANG, Hidden(hospital=hospital))
    dark.falls()
    again = dark.surgery.patient()
    assert again.acts.show_again(WANG, [1]) is None
    with refused(NoSuchHiding):
        again.acts.show_again(WANG, [3])
    dark.returns()
    dark.surgery.patient().hiding.show_again(WANG, [1])
    assert again.acts.send() == 1
    assert [it.hospital for it in dark.surgery.cloud.hidden["P:wang"].hidden] == ["H:beta"]


def test_all_that_is_shown_again_is_what_was_hidden_by_then(dark: Dark) -> None:
    patient = known(dark)
    patient.acts.hide(WANG, Hidden(hospital="H:alpha"))
    dark.falls()
    assert patient.acts.show_again(WANG, None) is None
    dark.returns()
    dark.surgery.patient().hiding.hide(WANG, Hidden(hospital="H:beta"))
    assert patient.acts.send() == 1
    assert [it.hospital for it in dark.surgery.cloud.hidden["P:wang"].hidden] == ["H:beta"]


def test_nothing_waits_to_be_shown_again_where_nobody_here_knows_what_is_hidden(dark: Dark) -> None:
    patient = dark.surgery.patient()
    dark.falls()
    for numbers in ([1], None):
        with pytest.raises(Unavailable):
            patient.acts.show_again(WANG, numbers)
    assert patient.acts.waiting() == 0


def test_what_waited_and_is_refused_is_told_once_with_its_reason_and_waits_no_more(dark: Dark) -> None:
    patient = known(dark)
    dark.falls()
    assert not patient.acts.revoke([patient.consents.grant(1)])
    dark.returns()
    dark.surgery.cloud.refusal = CredentialRevoked("taken back meanwhile")
    again = dark.surgery.patient()
    again.refresh()
    assert again.acts.waiting() == 0
    assert not again.consents.grant(1).is_revoked, "it was not taken back"
    (told,) = dark.surgery.patient().acts.take_refused()
    assert told.startswith("Taking back your consent no. 1, on ")
    assert "WAS REFUSED" in told
    assert "[CREDENTIAL_REVOKED]" in told
    assert again.acts.take_refused() == []


def test_what_waited_stays_while_the_public_cloud_is_busy(dark: Dark) -> None:
    patient = known(dark)
    dark.falls()
    assert not patient.acts.sweep(WANG)
    dark.returns()
    dark.surgery.cloud.refusal = Limit("busy")
    assert (patient.acts.send(), patient.acts.waiting(), patient.acts.take_refused()) == (0, 1, [])
    dark.surgery.cloud.refusal = None
    assert patient.acts.send() == 1
