"""What a judge makes of exhibits of every kind: of true ones, and of ones in which something was changed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from federation.errors import FieldInvalid, MalformedMessage, MessageTooLarge, MissingField
from federation.protocol import exhibit as exhibits
from federation.protocol.access import ToDoctor
from federation.protocol.consent import make_grant, make_mandate
from federation.protocol.exhibit import Exhibit, KeptExhibit, read_file, write_file
from federation.protocol.exhibits import of_grant
from federation.protocol.judge import JUDGED, judge
from federation.protocol.judged_logs import OF_LOGS
from federation.protocol.judged_shown import statement_openings
from federation.protocol.judging import Judgement, fields_of
from federation.protocol.parsing import LAST_TIME
from federation.protocol.statements import sign_statement
from federation.v1.access_pb2 import AccessEntry, Deputyship
from federation.v1.consultation_pb2 import BiosignalDelivery
from federation.v1.diagnosis_pb2 import DiagnosisDelivery
from federation.v1.statement_pb2 import POWER_GRANT, Grant, SignedStatement
from keystore.identities import DoctorId, PatientId
from keystore.party import IDENTITY, ISSUING
from keystore.transcript import transcript
from tests.grants import WIDE
from tests.policies import asking, stated
from tests.simulator import Federation, lent
from tests.time_authority import shared_authority
from tests.unit.protocol.judging import (
    changed,
    flipped,
    kept,
    of_accesses,
    of_deputies,
    of_every_kind,
    of_fork,
    of_visit,
)
from tests.vectors.told import READ, REFUSED, SIZE


@pytest.fixture(scope="module")
def every(shared_federation: Federation) -> list[KeptExhibit]:
    with lent(shared_federation) as federation:
        return of_every_kind(federation)


@pytest.fixture
def of_kind(every: list[KeptExhibit]) -> Any:
    return lambda kind: next(it for it in every if it.exhibit.kind == kind)


def judged(federation: Federation, one: KeptExhibit) -> Judgement:
    (found,) = judge([one], federation.cloud.anchors, shared_authority().trusted)
    return found


def reason(found: Judgement) -> tuple[str, str]:
    """The check that failed, and why: the last one, for it ends the others."""
    assert found.proves == ()
    return found.checks[-1].name, found.checks[-1].reason


def words(found: Judgement) -> str:
    return "\n".join(found.proves)


def test_every_kind_that_there_is_is_judged_and_holds(federation: Federation, every: list[KeptExhibit]) -> None:
    found = judge(every, federation.cloud.anchors, shared_authority().trusted)
    assert {it.kind for it in found} == set(JUDGED)
    assert [(it.kind, it.checks[-1]) for it in found if not it.holds] == []
    assert all(it.proves and it.leaves_open for it in found)


@pytest.mark.parametrize("kind", JUDGED)
@pytest.mark.parametrize("part", ["signed", "signature"])
def test_signature_invalid_where_what_was_signed_or_the_signature_is_changed(
    federation: Federation, of_kind: Any, kind: str, part: str
) -> None:
    true = of_kind(kind)
    assert judged(federation, true).holds
    found = judged(federation, changed(true, **{part: flipped(getattr(true.exhibit, part))}))
    assert reason(found)[1] in {"SIGNATURE_INVALID", "FIELD_INVALID", "MALFORMED_MESSAGE"}


@pytest.mark.parametrize("kind", [it for it in JUDGED if it not in OF_LOGS])
def test_message_that_says_something_else_than_was_signed_does_not_hold(
    federation: Federation, of_kind: Any, kind: str
) -> None:
    true = of_kind(kind)
    for at in range(4, len(true.exhibit.message), max(1, len(true.exhibit.message) // 20)):
        found = judged(federation, changed(true, message=flipped(true.exhibit.message, at)))
        assert not found.holds


def fields(exhibit: Exhibit) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field that an exhibit has, by its name, with a bit of it turned: in the middle, where its content is."""
    for name in ("signed", "signature", "message", "certificate"):
        if value := getattr(exhibit, name):
            yield name, {name: flipped(value, len(value) // 2)}
    for name in ("key_statement", "encryption_key_statement"):
        if (stated := getattr(exhibit, name)) is not None:
            for part in ("statement", "signature"):
                other = SignedStatement.FromString(stated.SerializeToString())
                value = getattr(stated, part)
                setattr(other, part, flipped(value, len(value) // 2))
                yield f"{name}.{part}", {name: other}
    for name, value in exhibit.openings.items():
        if value:
            yield name, {"openings": {**exhibit.openings, name: flipped(value, len(value) // 2)}}
    yield "signer", {"signer": exhibit.signer + "x"}


def test_field_that_is_changed_fails_by_its_reason_whichever_it_is(
    federation: Federation, every: list[KeptExhibit]
) -> None:
    tried = 0
    for one in every:
        for name, parts in fields(one.exhibit):
            found = judged(federation, changed(one, **parts))
            tried += 1
            assert not found.holds, (one.exhibit.kind, name)
            assert found.checks[-1].reason, (one.exhibit.kind, name)
    assert tried > 100


@pytest.mark.parametrize("kind", JUDGED)
def test_key_statement_of_somebody_else_proves_nothing(federation: Federation, of_kind: Any, kind: str) -> None:
    other = federation.party(federation.other_doctor).self_.key_statement
    found = judged(federation, changed(of_kind(kind), key_statement=other))
    assert not found.holds


@pytest.mark.parametrize("kind", [it for it in JUDGED if it not in {"C", "PUBACK"}])
def test_exhibit_that_shows_no_key_statement_of_its_signer_is_missing_field(
    federation: Federation, of_kind: Any, kind: str
) -> None:
    assert reason(judged(federation, changed(of_kind(kind), key_statement=None)))[1] == "MISSING_FIELD"


@pytest.mark.parametrize("kind", JUDGED)
def test_opening_that_nobody_looks_at_is_field_invalid(federation: Federation, of_kind: Any, kind: str) -> None:
    true = of_kind(kind)
    found = judged(federation, changed(true, openings={**true.exhibit.openings, "more": b"1"}))
    assert reason(found)[1] == "FIELD_INVALID"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("D1", "opening"), ("H1", "opening"), ("H2", "blind"), ("H2", "record_digest"), ("STOACK", "deposit")],
)
def test_opening_that_is_another_does_not_hold(federation: Federation, of_kind: Any, kind: str, name: str) -> None:
    true = of_kind(kind)
    openings = {**true.exhibit.openings, name: flipped(true.exhibit.openings[name])}
    assert not judged(federation, changed(true, openings=openings)).holds
    del openings[name]
    assert reason(judged(federation, changed(true, openings=openings)))[1] == "MISSING_FIELD"


@pytest.mark.parametrize("kind", ["P2", "H2", "STOACK", "grant"])
def test_certificate_of_who_is_no_doctor_is_credential_invalid(federation: Federation, of_kind: Any, kind: str) -> None:
    found = judged(federation, changed(of_kind(kind), certificate=federation.doctor.certificate))
    assert reason(found) == ("certificate", "CREDENTIAL_INVALID")


@pytest.mark.parametrize("kind", ["D1", "D2", "D3", "D5"])
def test_certificate_of_another_doctor_is_credential_invalid(federation: Federation, of_kind: Any, kind: str) -> None:
    found = judged(federation, changed(of_kind(kind), certificate=federation.other_doctor.certificate))
    assert reason(found) == ("certificate", "CREDENTIAL_INVALID")


@pytest.mark.parametrize("part", ["", "_signature", "_key_statement", "_key_statement_signature"])
def test_statement_of_which_half_is_shown_is_missing_field(federation: Federation, of_kind: Any, part: str) -> None:
    true = of_kind("H2")
    openings = {name: value for name, value in true.exhibit.openings.items() if name != f"duty{part}"}
    found = judged(federation, changed(true, openings=openings))
    # Without the duty itself H(access) is another's.
    assert reason(found)[1] == ("MISSING_FIELD" if part else "COMMITMENT_MISMATCH")


def test_kind_that_nobody_knows_is_refused_by_its_name(federation: Federation, of_kind: Any) -> None:
    found = judged(federation, changed(of_kind("D5"), kind="D6"))
    assert reason(found) == ("kind", "FIELD_INVALID")
    assert "'D6'" in found.checks[-1].detail


def test_signature_of_one_kind_is_none_of_another(federation: Federation, of_kind: Any) -> None:
    assert reason(judged(federation, changed(of_kind("D5"), kind="P6"))) == ("form", "FIELD_INVALID")


def test_what_a_diagnosis_proves_is_said_in_plain_words(federation: Federation, every: list[KeptExhibit]) -> None:
    found = judge(every, federation.cloud.anchors)
    (first, second) = (it for it in found if it.kind == "D5")
    assert words(first).startswith("D:chen signed a diagnosis at ")
    assert "it rests on the record of exhibit " in words(first)
    assert "on the biosignal of exhibit 4, about P:wang" in words(second)
    assert "in the session of exhibit 2, whose opening names P:wang" in words(second)
    assert "certified by M:chamber" in words(first)
    assert any("its signer's own word" in it for it in first.leaves_open)


def test_biosignal_that_the_patient_keeps_is_the_one_that_the_doctor_has(every: list[KeptExhibit]) -> None:
    doctors, patients = (it.exhibit for it in every if it.exhibit.kind == "P2")
    assert doctors == patients


def test_diagnosis_alone_says_that_it_names_no_patient(federation: Federation, of_kind: Any) -> None:
    found = judged(federation, of_kind("D5"))
    assert "P:wang" not in words(found)
    assert any("Whose" in it for it in found.leaves_open)


def test_biosignal_that_another_patient_signs_for_the_same_session_makes_no_diagnosis_its_own(
    federation: Federation, every: list[KeptExhibit]
) -> None:
    """P:lin names TH1 of P:wang's visit, and so its own P2 and that diagnosis seem to be of one session."""
    p2 = next(it for it in every if it.exhibit.kind == "P2")
    d5 = next(it for it in every if it.exhibit.kind == "D5")
    other = federation.party(federation.other_patient)
    message = BiosignalDelivery.FromString(p2.exhibit.message)
    message.patient_id = other.identity
    message.ClearField("consent")
    fields = list(fields_of("P2", 7, p2.exhibit.signed))
    fields[3], fields[5] = other.identity.encode(), b""
    signed = transcript("P2", *fields)
    message.signature = other.signing_key.sign(signed)
    forged = changed(
        p2,
        signer=other.identity,
        signed=signed,
        signature=message.signature,
        message=message.SerializeToString(deterministic=True),
        key_statement=other.self_.key_statement,
    )
    found = judge([forged, d5], federation.cloud.anchors)
    assert [it.holds for it in found] == [True, True]
    assert other.identity not in words(found[1])


def test_diagnosis_of_another_text_under_the_doctors_signature_does_not_hold(
    federation: Federation, of_kind: Any
) -> None:
    true = of_kind("D5")
    message = DiagnosisDelivery.FromString(true.exhibit.message)
    message.diagnosis = b"all is lost"
    found = judged(federation, changed(true, message=message.SerializeToString(deterministic=True)))
    assert reason(found) == ("message", "ANSWER_MISMATCH")


def test_grant_that_another_patient_signed_does_not_hold(federation: Federation, of_kind: Any) -> None:
    grant = Grant.FromString(of_kind("grant").exhibit.message)
    other = federation.party(federation.other_patient)
    signed = sign_statement("grant", grant, other.signing_key)
    forged = Exhibit(
        "grant",
        other.identity,
        transcript("grant", signed.statement),
        signed.signature,
        signed.statement,
        key_statement=other.self_.key_statement,
    )
    assert reason(judged(federation, kept(forged))) == ("content", "GRANT_INVALID")


def test_grant_that_was_shown_for_a_record_has_to_be_signed(federation: Federation, of_kind: Any) -> None:
    true = of_kind("H2")
    assert "a grant of P:wang was shown for it" in words(judged(federation, true))
    openings = {**true.exhibit.openings, "grant_signature": flipped(true.exhibit.openings["grant_signature"])}
    assert reason(judged(federation, changed(true, openings=openings))) == ("grant", "SIGNATURE_INVALID")


@pytest.mark.parametrize(("kind", "label"), [("H2", "mandate"), ("grant", "guardian")])
def test_statement_that_nothing_signed_names_is_not_said_to_have_been_shown(
    federation: Federation, of_kind: Any, kind: str, label: str
) -> None:
    true, beside = of_kind(kind), of_kind(label)
    assert beside.exhibit.key_statement is not None
    added = {
        label: beside.exhibit.message,
        f"{label}_signature": beside.exhibit.signature,
        f"{label}_key_statement": beside.exhibit.key_statement.statement,
        f"{label}_key_statement_signature": beside.exhibit.key_statement.signature,
    }
    found = judged(federation, changed(true, openings={**true.exhibit.openings, **added}))
    assert not found.holds
    assert found.proves == ()


def test_grant_is_not_shown_for_a_record_that_was_given_on_another_ground(federation: Federation, of_kind: Any) -> None:
    true = of_kind("H2")
    for ground in (b"own", b"emergency", b"none"):
        found = judged(federation, changed(true, openings={**true.exhibit.openings, "ground": ground}))
        assert reason(found)[1] == "FIELD_INVALID"


def test_grant_of_a_deputy_is_shown_with_the_deputyship_that_it_names_and_with_no_other(federation: Federation) -> None:
    patient, deputy = federation.party(federation.patient), federation.party(federation.other_patient)
    now, entropy = federation.clock.now, federation.entropy
    mandate, guardianship = of_deputies(federation)
    held = Deputyship(
        mandate=make_mandate(
            patient, PatientId(deputy.identity), [POWER_GRANT], timedelta(days=1), now=now, entropy=entropy
        ),
        key_statement=patient.self_.key_statement,
    )
    to = ToDoctor(DoctorId("D:chen"), "M:chamber")
    grant = make_grant(deputy, to, WIDE, now=now, entropy=entropy, deputyship=held)
    true = kept(of_grant(grant, deputy.self_, held))
    assert "a mandate of P:wang was shown for it" in words(judged(federation, true))

    def beside(label: str, exhibit: Exhibit) -> dict[str, bytes]:
        stated = exhibit.key_statement or SignedStatement()
        return statement_openings(
            label, (SignedStatement(statement=exhibit.message, signature=exhibit.signature), stated)
        )

    both = changed(true, openings={**true.exhibit.openings, **beside("guardian", guardianship.exhibit)})
    assert reason(judged(federation, both)) == ("content", "FIELD_INVALID")
    other = changed(true, openings=beside("mandate", mandate.exhibit))
    assert reason(judged(federation, other)) == ("content", "GRANT_INVALID")
    assert reason(judged(federation, changed(true, openings={}))) == ("content", "GRANT_INVALID")


def test_deputy_is_named_with_its_powers(federation: Federation) -> None:
    mandate, guardianship = of_deputies(federation)
    deputy = federation.other_patient.identity
    assert "P:wang stated at" in words(judged(federation, mandate))
    assert f"that {deputy} stands for P:wang, with the powers: read" in words(judged(federation, mandate))
    assert words(judged(federation, guardianship)).startswith("H:alpha stated at")


def test_accesses_are_proved_below_the_head_and_cosigners_are_counted(federation: Federation) -> None:
    found = judged(federation, of_accesses(federation))
    assert f"with {SIZE} leaves" in words(found)
    assert "cosigned by H:beta at" in words(found)
    assert f"leaf {READ}: READ by D:chen of P:wang, department class cardiology" in words(found)
    assert f"leaf {REFUSED}: SEARCH by D:roe of P:wang" in words(found)


def test_head_is_witnessed_by_the_policy_of_its_time(federation: Federation) -> None:
    one, now, anchors = of_accesses(federation), federation.clock.now, federation.cloud.anchors
    before, later = now // 1000 * 1000, now + 1
    named, withdrawn = stated(1, ["H:beta", "H:gamma"]), stated(1, ["H:gamma", "H:delta"])
    for policies, witnessed in [
        ([stated()], True),
        ([stated(2)], False),
        ([named], True),
        ([withdrawn], False),
        ([named, stated(1, ["H:gamma", "H:delta"], not_before=later)], True),
        ([named, stated(1, ["H:gamma", "H:delta"], not_before=before)], False),
        ([stated(2), stated(1, not_before=later)], False),
        ([stated(2), stated(1, not_before=before)], True),
    ]:
        (found,) = judge([one], asking(anchors, *policies))
        assert (found.holds, found.witnessed) == (True, witnessed), policies
        assert any("WITNESSED by H:beta" in it for it in found.proves) is witnessed
        assert any("NOT WITNESSED" in it for it in found.leaves_open) is not witnessed


def test_author_is_no_witness_for_a_judge(federation: Federation) -> None:
    found = judged(federation, of_accesses(federation, by_itself=True))
    assert (found.holds, found.witnessed) == (True, False)
    assert "0 of the 1 cosignatures" in found.leaves_open[0]


def test_access_of_somebody_else_than_its_leaf_says_is_leaf_mismatch(federation: Federation) -> None:
    true = of_accesses(federation)
    entry = AccessEntry.FromString(true.exhibit.openings[f"entry-{READ}"])
    entry.asker_id = "D:roe"
    openings = {**true.exhibit.openings, f"entry-{READ}": entry.SerializeToString()}
    assert reason(judged(federation, changed(true, openings=openings))) == (f"entry-{READ}", "LEAF_MISMATCH")


def test_cosignature_whose_key_nobody_shows_is_not_counted(federation: Federation) -> None:
    true = of_accesses(federation)
    openings = {name: value for name, value in true.exhibit.openings.items() if not name.startswith("witness-")}
    assert reason(judged(federation, changed(true, openings=openings))) == ("cosignatures", "SIGNATURE_INVALID")


def test_two_heads_of_one_size_are_a_fork_by_themselves(federation: Federation) -> None:
    assert "H:alpha signed two heads of its log" in words(judged(federation, of_fork(federation)))


def test_two_heads_that_do_not_contradict_each_other_by_themselves_prove_no_fork(federation: Federation) -> None:
    found = judged(federation, of_fork(federation, SIZE + 1))
    assert reason(found) == ("contradiction", "LOG_PROOF_INVALID")
    true = of_fork(federation)
    note = true.exhibit.openings["shown"]
    same = changed(true, openings={**true.exhibit.openings, "known": note})
    assert reason(judged(federation, same)) == ("contradiction", "LOG_PROOF_INVALID")


def test_evidence_holds_after_its_keys_were_revoked_and_that_they_were_is_said(own_federation: Federation) -> None:
    federation = own_federation
    visited = of_visit(federation)
    federation.cloud.rotate(ISSUING, IDENTITY)
    federation.refresh()
    for member in federation.members:
        federation.renew(member)
    federation.cloud.revoke_generation(ISSUING, IDENTITY)
    found = judge(visited, federation.cloud.anchors)
    assert [it.checks[-1] for it in found if not it.holds] == []
    assert all("revoked later" in words(it) for it in found)


def test_file_is_read_as_it_was_written(every: list[KeptExhibit]) -> None:
    assert read_file(write_file(every)) == every


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedMessage),
        (b"\xff", MalformedMessage),
        (b"[]", FieldInvalid),
        (b'{"exhibits":[],"format":"medunion-evidence/2"}', FieldInvalid),
        (b'{"exhibits":[],"format":"medunion-evidence/1"}', MalformedMessage),
        (b'{"exhibits":[{}],"format":"medunion-evidence/1"}', MalformedMessage),
    ],
)
def test_file_of_another_form_is_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_file(data)


def test_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, every: list[KeptExhibit]) -> None:
    monkeypatch.setattr(exhibits, "MOST_FILE_BYTES", 1000)
    with pytest.raises(MessageTooLarge):
        read_file(write_file(every))


def test_what_its_holder_says_beside_changes_no_proof(federation: Federation, of_kind: Any) -> None:
    true = of_kind("D5")
    said = replace(true, received_at=1, list_sequence=0, reference=b"")
    assert judged(federation, said) == judged(federation, true)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", 5),
        ("kind", "D\u00e5"),
        ("signer", "D:chen\n"),
        ("received_at_ms", True),
        ("received_at_ms", -1),
        ("received_at_ms", "1"),
        ("revocation_list_sequence", LAST_TIME + 1),
        ("signed", "no base64"),
        ("signature", None),
        ("key_statement", {"statement": "AA=="}),
        ("key_statement", []),
        ("openings", []),
        ("openings", {"name": 1}),
    ],
)
def test_exhibit_of_another_form_is_malformed_message(of_kind: Any, name: str, value: object) -> None:
    content = json.loads(write_file([of_kind("D5")]))
    content["exhibits"][0][name] = value
    with pytest.raises(MalformedMessage, match="does not have its form"):
        read_file((json.dumps(content, sort_keys=True, indent=1) + "\n").encode())


@pytest.mark.parametrize("exhibits", [None, {}, "none"])
def test_file_that_lists_no_exhibits_is_missing_field(exhibits: object) -> None:
    content = {"format": "medunion-evidence/1"} | ({} if exhibits is None else {"exhibits": exhibits})
    with pytest.raises(MissingField):
        read_file((json.dumps(content, sort_keys=True, indent=1) + "\n").encode())


def test_file_of_another_spelling_of_the_same_is_malformed_message(of_kind: Any) -> None:
    data = write_file([of_kind("D5")])
    for other in (data + b" ", data.replace(b'"exhibits"', b' "exhibits"', 1), data.replace(b"\n", b"", 1)):
        with pytest.raises(MalformedMessage, match="one form"):
            read_file(other)
