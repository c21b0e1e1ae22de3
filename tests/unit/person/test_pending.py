"""A consultation that waits, sealed under the patient's token."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from federation.errors import CredentialRevoked
from federation.person.code import DoctorCode
from federation.person.pending import PendingConsultation, PendingStore
from federation.person.sealed_files import SealedFiles
from federation.v1.envelope_pb2 import SessionFrame
from keystore.errors import SealBroken
from tests.simulator import Federation

CODE = DoctorCode("localhost:1", "H:alpha", bytes(16), bytes(32))


@pytest.fixture
def waiting(federation: Federation) -> PendingConsultation:
    state, _ = federation.consult()
    return PendingConsultation(state, CODE, next_put=3, next_read=1)


def restore(federation: Federation, waiting: PendingConsultation) -> PendingConsultation:
    return PendingConsultation.from_bytes(waiting.to_bytes(), federation.patient, now=federation.clock.now)


def test_state_written_and_read_is_the_same(federation: Federation, waiting: PendingConsultation) -> None:
    assert restore(federation, waiting) == waiting


def test_receipt_is_kept_with_it(federation: Federation, waiting: PendingConsultation) -> None:
    receipt = SessionFrame(session_id=bytes(16), sequence=2, last=True, sealed=b"x", sent_at=1)
    kept = PendingConsultation(waiting.state, CODE, 3, 1, receipt)
    assert restore(federation, kept).receipt == receipt


def test_diagnosis_is_read_by_a_restored_state(federation: Federation) -> None:
    state, held = federation.consult()
    _, frame = held.diagnose(b"{}", (), now=federation.clock.now)
    restored = restore(federation, PendingConsultation(state, CODE, 3, 1))
    diagnosed = restored.state.receive(frame, federation.patient.verifier(), now=federation.clock.now)
    assert diagnosed.delivery.diagnosis == b"{}"


def test_seal_broken_for_another_token_or_name(federation: Federation, tmp_path: Path) -> None:
    SealedFiles(tmp_path, federation.patient, "kind").put(bytes(16), b"content")
    with pytest.raises(SealBroken):
        SealedFiles(tmp_path, federation.other_patient, "kind").get(bytes(16))
    with pytest.raises(SealBroken):
        SealedFiles(tmp_path, federation.patient, "other").get(bytes(16))
    (path,) = tmp_path.glob("*.sealed")
    path.rename(tmp_path / f"{b'x'.hex() * 16}.sealed")
    with pytest.raises(SealBroken):
        SealedFiles(tmp_path, federation.patient, "kind").get(b"x" * 16)


def test_receipt_of_another_program_is_taken_over(
    federation: Federation, waiting: PendingConsultation, tmp_path: Path
) -> None:
    def made(sealed: bytes) -> PendingConsultation:
        frame = SessionFrame(session_id=bytes(16), sequence=2, last=True, sealed=sealed, sent_at=1)
        return replace(waiting, state=replace(waiting.state, newest=bytes(32)), receipt=frame)

    store, now = PendingStore(tmp_path, federation.patient), federation.clock.now
    store.put(waiting)
    first = store.with_receipt(waiting, lambda: made(b"first"), now=now)
    second = store.with_receipt(waiting, lambda: made(b"second"), now=now)
    assert first == second == made(b"first")
    store.acknowledged(replace(first, receipt=None), now=now)
    assert [kept.receipt for kept in store.all(now=now)] == [None]
    store.remove(waiting)
    assert store.with_receipt(waiting, lambda: made(b"third"), now=now).receipt is None
    store.acknowledged(first, now=now)
    assert not list(store.all(now=now))


def test_receipt_of_an_amended_diagnosis_is_not_noted_over_the_next(
    federation: Federation, waiting: PendingConsultation, tmp_path: Path
) -> None:
    """One program has sent P6 of the first; meanwhile another has taken the amendment and made its P6."""
    store, now = PendingStore(tmp_path, federation.patient), federation.clock.now
    first = replace(waiting, state=replace(waiting.state, newest=bytes(32)))
    receipt = SessionFrame(session_id=bytes(16), sequence=3, last=True, sealed=b"x", sent_at=1)
    second = replace(first, state=replace(first.state, newest=b"2" * 32), receipt=receipt)
    store.put(second)
    store.acknowledged(first, now=now)
    assert list(store.all(now=now)) == [second]


def test_doctor_whose_credential_fell_is_refused(federation: Federation, waiting: PendingConsultation) -> None:
    federation.revoke(federation.doctor, federation.patient)
    with pytest.raises(CredentialRevoked):
        restore(federation, waiting)


def test_store_gives_back_what_lives_and_forgets_the_rest(
    federation: Federation, waiting: PendingConsultation, tmp_path: Path
) -> None:
    store = PendingStore(tmp_path / "pending", federation.patient)
    store.put(waiting)
    store.put(waiting)
    assert list(store.all(now=federation.clock.now)) == [waiting]
    assert not list(PendingStore(tmp_path / "pending", federation.other_patient).all(now=federation.clock.now))
    federation.clock.advance(timedelta(hours=12))
    federation.refresh()
    assert not list(store.all(now=federation.clock.now))
    assert not list((tmp_path / "pending").glob("*.sealed"))


def test_session_keys_with_a_doctor_whose_credential_fell_are_forgotten_too(
    federation: Federation, waiting: PendingConsultation, tmp_path: Path
) -> None:
    store = PendingStore(tmp_path, federation.patient)
    store.put(waiting)
    federation.revoke(federation.doctor, federation.patient)
    assert list(store.all(now=federation.clock.now)) == []
    assert list(tmp_path.glob("*.sealed"))
    assert list(store.all(now=federation.clock.now + 12 * 3_600_000)) == []
    assert not list(tmp_path.glob("*.sealed"))


def test_file_holds_no_session_key_in_clear(
    federation: Federation, waiting: PendingConsultation, tmp_path: Path
) -> None:
    PendingStore(tmp_path, federation.patient).put(waiting)
    (path,) = tmp_path.glob("*.sealed")
    assert path.stat().st_mode & 0o077 == 0
    assert waiting.state.sending.keys.key not in path.read_bytes()
    assert b"session" not in path.read_bytes()
