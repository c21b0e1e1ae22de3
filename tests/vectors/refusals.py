"""What must be refused, and why: each vector bends one message of the run in one way.

`expect` is the precise reason (the audit log's), `wire` what the peer is told (docs/protocol.md, 1, Refusals).

Long because it is one table: every check of the protocol that a message can fail has its row.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message

from federation.protocol.frames import SLICE_BYTES
from federation.protocol.sealing import Context
from federation.protocol.statements import sign_statement
from federation.v1.access_pb2 import Access, OwnAccess
from federation.v1.record_pb2 import PURPOSE_STORE, DepositReceipt, RecordManifest, Resumption
from federation.v1.revocation_pb2 import STATEMENT_KIND_GRANT
from federation.v1.statement_pb2 import (
    RIGHT_LOG,
    RIGHT_READ,
    SENSITIVITY_SECRET,
    DepartmentGrantee,
    DoctorGrantee,
    Duty,
    EncryptionKeyStatement,
    Grant,
    Grantee,
    HospitalGrantee,
    KeyStatement,
    Restriction,
    SignedStatement,
)
from keystore.encryption import DecryptionKey, seal
from keystore.errors import SealBroken
from tests.vectors import curve, spec
from tests.vectors.describe import info_of, padded, padded_plaintext, payload_of, plaintext_of, sign_again
from tests.vectors.draws import Json
from tests.vectors.seals import ENCAPSULATED_BYTES, MLKEM_KEY_BYTES, TAG_BYTES
from tests.vectors.signed import SIGNED, c_proof, d2_proof
from tests.vectors.world import Step

WINDOW_MS, SKEW_MS = 30_000, 5_000
DAY_MS = 24 * 3_600_000
MOST_BIOSIGNAL_BYTES = 16 * 1024 * 1024
UNKNOWN_FIELD = bytes.fromhex("f80701")
"""Field 127, varint 1."""
OTHER_SESSION = b"another session!"
CALLS = ("pub", "ekput", "tlsca", "tkt", "rev", "rst", "rstget")
OPENINGS = ("reg1-patient", "P1", "D2", "D3-read", *CALLS)
REPLIES = ("reg2-patient", "D1", "C", "H1-read")
LAST_FRAMES = ("P2-1", "D4", "H2-2", "D5", "P6", "STO-1", "STOACK", "OWN-1", "STOACK-own")
FRAMES = ("P2-0", "H2-0", "STO-0", "OWN-0", *LAST_FRAMES)
NO_POINTS = "an x of no point", "an x of the twist, order 5", "x = p + 5", "x = 2^256 - 1"
NO_REGISTRATION_POINTS = "rho = 0", "rho = n + 3, the x of a point"
BAD_POINTS = {v["name"]: bytes.fromhex(v["point"]) for v in curve.points() if v["expect"] != "success"}
A_POINT = spec.octets(0)
"""An x that may be received, and that no side of the run has sent."""
POINTS = "agreement_point", "ephemeral_point", "registration_point"
HANDSHAKE = "P1", "D1", "D3-read", "H1-read"
MLKEM768_X25519 = 0x647A
Change = Callable[[Any], None]


@dataclass(frozen=True)
class Refusals:
    """Makes the vectors from the steps of a run; ciphertexts that were made before are used again."""

    steps: dict[str, Step]
    kept: dict[str, Json]
    now: int
    without_public_point: Json
    """A credential of the patient, by s, for whose R_X1 U_X is O."""

    def all(self) -> list[Json]:
        """Give every refusal."""
        sealed = self._clear_openings(), self._clear_replies(), self._frames(), self._inside(), self._special()
        return [vector for maker in (*sealed, self._rooms()) for vector in maker]

    def _clear_openings(self) -> Iterator[Json]:
        for name in OPENINGS:
            step = self.steps[name]
            once = "CHALLENGE_INVALID" if name.startswith("reg1") else "MESSAGE_REPLAYED"
            bad_session = "FIELD_INVALID" if name in CALLS else "SEAL_INVALID"
            yield self._flipped(name)
            yield from self._cut(step, ENCAPSULATED_BYTES + TAG_BYTES - 1)
            yield self._vector(name, "stale", "STALE", "STALE", now=self.now + WINDOW_MS + 1)
            yield self._vector(name, "future", "FUTURE_DATED", "FUTURE_DATED", now=self.now - SKEW_MS - 1)
            yield self._vector(name, "taken before", once, replayed=True)
            yield self._clear(step, "another version", "UNSUPPORTED_VERSION", precise=True, version=2)
            yield self._clear(step, "unknown key id", "UNKNOWN_KEY_ID", precise=True, key_id=bytes(16))
            precise = name in CALLS
            yield self._clear(step, "another session", bad_session, precise=precise, session_id=OTHER_SESSION)
            yield self._clear(step, "another outer time", "SEAL_INVALID", sent_at=self.now + 1)

    def _clear_replies(self) -> Iterator[Json]:
        for name in REPLIES:
            step = self.steps[name]
            yield self._flipped(name)
            yield from self._cut(step, ENCAPSULATED_BYTES + TAG_BYTES - 1)
            if name != "reg2-patient":
                yield self._vector(name, "stale", "STALE", "STALE", now=self.now + WINDOW_MS + 1)
                yield self._vector(name, "future", "FUTURE_DATED", "FUTURE_DATED", now=self.now - SKEW_MS - 1)
            yield self._clear(step, "another session", "SESSION_UNKNOWN", precise=True, session_id=OTHER_SESSION)
            yield self._clear(step, "another outer time", "SEAL_INVALID", sent_at=self.now + 1)

    def _frames(self) -> Iterator[Json]:
        for name in FRAMES:
            step = self.steps[name]
            yield self._flipped(name)
            yield from self._cut(step, TAG_BYTES - 1)
            yield self._clear(step, "another session", "SESSION_UNKNOWN", session_id=OTHER_SESSION)
            yield self._clear(step, "a frame too far", "OUT_OF_ORDER", sequence=step.message.sequence + 1)
            yield self._clear(step, "last turned around", "SEAL_INVALID", last=not step.message.last)
            yield self._clear(step, "another outer time", "SEAL_INVALID", sent_at=self.now + 1)
        for name in ("P2-0", "P2-1", "D4", "H2-0", "STO-1", "OWN-1"):
            if name in ("P2-0", "D4", "H2-0"):  # of long content, T is fresh when the first frame comes
                yield self._vector(name, "stale", "STALE", "STALE", now=self.now + WINDOW_MS + 1)
            yield self._vector(name, "future", "FUTURE_DATED", "FUTURE_DATED", now=self.now - SKEW_MS - 1)
        yield self._vector("D5", "future", "FUTURE_DATED", now=self.now - SKEW_MS - 1)

    def _rooms(self) -> Iterator[Json]:
        forged = self.steps["P1"].signing_key.sign(b"something else")
        bent: dict[str, dict[str, Json]] = {
            "room": {"another nonce": {"nonce": bytes(16)}, "another time": {"sent_at": self.now - 1}},
            "duty-ask": {"another nonce": {"nonce": bytes(16)}, "another time": {"sent_at": self.now - 1}},
            "room-close": {"another room": {"room_id": bytes(16)}},
        }
        for name, changes in bent.items():
            step = self.steps[name]
            high = spec.other_half(step.message.signature)
            changes |= {"somebody else's signature": {"signature": forged}, "the high s": {"signature": high}}
            for change, fields in changes.items():
                yield self._clear(step, change, "SIGNATURE_INVALID", precise=True, **fields)
            yield self._clear(step, "half a signature", "FIELD_INVALID", precise=True, signature=forged[:32])
        for name in ("room", "duty-ask"):
            yield self._vector(name, "stale", "STALE", "STALE", now=self.now + WINDOW_MS + 1)
            yield self._vector(name, "future", "FUTURE_DATED", "FUTURE_DATED", now=self.now - SKEW_MS - 1)
        yield self._vector("room", "taken before", "MESSAGE_REPLAYED", replayed=True)

    def _inside(self) -> Iterator[Json]:
        for name in (*OPENINGS, *REPLIES):
            step = self.steps[name]
            if name not in ("C", "D2"):
                other = replace(self._context(step), receiver="D:other")
                yield self._resealed(step, "for another receiver", "SEAL_INVALID", context=other)
                yield self._resealed(step, "an unknown field", "UNKNOWN_FIELD", append=UNKNOWN_FIELD)
                yield self._resealed(step, "padding that is not zero", "PADDING_INVALID", spoil_padding=True)
            yield self._changed(step, "another inner time", "TIME_MISMATCH", _later)
            yield self._changed(step, "without its signature", "MISSING_FIELD", _unsigned)
            yield self._changed(step, "somebody else's signature", "SIGNATURE_INVALID", self._forged)
            yield self._changed(step, "the high s", "SIGNATURE_INVALID", _heightened, sign=False)
        for name in LAST_FRAMES:
            step = self.steps[name]
            framed = spec.field(plaintext_of(step))
            for change, plaintext in {
                "padding that is not zero": spec.padded(framed)[:-1] + b"\x01",
                "of the next size": framed + bytes(spec.padded_size(spec.padded_size(len(framed)) + 1) - len(framed)),
                "without padding": framed,
            }.items():
                yield self._framed(step, change, "PADDING_INVALID", plaintext)
            yield self._resealed(step, "an unknown field", "UNKNOWN_FIELD", append=UNKNOWN_FIELD)
            yield self._changed(step, "another inner time", "TIME_MISMATCH", _later)
            yield self._changed(step, "without its time", "MISSING_FIELD", lambda m: m.ClearField("sent_at"))
            if step.label in SIGNED:
                yield self._changed(step, "somebody else's signature", "SIGNATURE_INVALID", self._forged)
                yield self._changed(step, "the high s", "SIGNATURE_INVALID", _heightened, sign=False)

    def _special(self) -> Iterator[Json]:
        steps, zeros = self.steps, bytes(32)
        hospital = payload_of(steps["H1-read"]).key_statement
        wrong_patient = _with(biometric_password=zeros)
        yield self._changed(steps["P1"], "another biometric password", "CREDENTIAL_INVALID", wrong_patient)
        yield self._changed(
            steps["P1"], "a hospital's key statement", "CREDENTIAL_INVALID", _with(key_statement=hospital)
        )
        confirmation = _with(key_confirmation=zeros)
        yield self._changed(steps["D1"], "another key confirmation", "KEY_CONFIRMATION_FAILED", confirmation)
        yield self._changed(steps["H1-read"], "another key confirmation", "KEY_CONFIRMATION_FAILED", confirmation)
        yield self._changed(steps["D1"], "another doctor", "IDENTITY_MISMATCH", _with(doctor_id="D:other"))
        yield self._changed(steps["H1-read"], "another hospital", "IDENTITY_MISMATCH", _with(hospital_id="H:other"))
        yield self._changed(steps["D2"], "another proof", "PROOF_INVALID", _with(proof=zeros))
        yield self._changed(steps["C"], "another proof", "PROOF_INVALID", _with(proof=zeros))
        yield from self._answers(steps["C"])
        yield self._changed(steps["D2"], "no grant", "GRANT_MISSING", _ungranted, wire="GRANT_MISSING")
        yield self._changed(steps["D4"], "another blind", "COMMITMENT_MISMATCH", _with(blind=zeros))
        yield self._changed(steps["D4"], "another patient", "COMMITMENT_MISMATCH", _with(patient_id="P:other"))
        yield self._changed(
            steps["D4"], "another Cert_D", "CERTIFICATE_FOREIGN", _with(doctor_certificate_digest=zeros)
        )
        for change, offset in {"goes on from 0": 0, "goes on within a slice": SLICE_BYTES + 1}.items():
            within = _with(resumption=Resumption(manifest_digest=zeros, offset=offset))
            yield self._changed(steps["D4"], change, "FIELD_INVALID", within)
        beyond = _with(resumption=Resumption(manifest_digest=zeros, offset=SLICE_BYTES))
        yield self._changed(steps["D4-log"], "a log goes on from a slice", "FIELD_INVALID", beyond)
        yield self._changed(steps["STO-1"], "another blind", "COMMITMENT_MISMATCH", _with(blind=zeros))
        false = _with(diagnosis_signature=bytes(64))
        yield self._changed(steps["STO-1"], "a diagnosis signed by nobody", "SIGNATURE_INVALID", false)
        yield self._changed(steps["STO-1"], "other content", "RECORD_DIGEST_MISMATCH", _with(biosignal_digest=zeros))
        yield self._changed(steps["P2-1"], "another biosignal", "RECORD_DIGEST_MISMATCH", _with(biosignal_digest=zeros))
        for change, scalar in {"another secret": 1, "a secret of 0": 0, "a secret of n": spec.ORDER}.items():
            secret = _with(registration_secret=spec.octets(scalar))
            yield self._changed(steps["reg2-patient"], change, "CREDENTIAL_INVALID", secret)
        yield self._changed(steps["reg1-patient"], "another ticket", "TICKET_INVALID", _with(ticket=bytes(16)))
        yield from self._points()
        yield from self._bases()
        yield from self._statements()
        yield from self._renewals(steps["reg1-hospital-again"])
        yield from self._content()
        yield from self._amendments()
        yield from self._patients_signature()
        yield from self._authorizations()
        yield from self._forms()

    def _answers(self, answer: Step) -> Iterator[Json]:
        """What a page of a search can't be: each hospital, department and record is there once, and none is another's."""
        changes: dict[str, tuple[str, Change]] = {
            "a hospital twice": ("FIELD_INVALID", lambda c: c.hospitals.append(c.hospitals[0])),
            "a hospital without a record": ("FIELD_INVALID", lambda c: c.hospitals[0].ClearField("departments")),
            "a department twice": ("FIELD_INVALID", lambda c: _departments(c).append(_departments(c)[0])),
            "a department without a record": ("FIELD_INVALID", lambda c: _departments(c)[0].ClearField("handles")),
            "a record twice": ("FIELD_INVALID", lambda c: _departments(c)[0].handles.append(bytes(16))),
            "a department of another hospital": (
                "DEPARTMENT_FOREIGN",
                lambda c: setattr(_departments(c)[1], "department_id", "H:other/cardiology"),
            ),
            "a hospital under another's name": ("IDENTITY_MISMATCH", _named_otherwise),
        }
        for name, (expect, change) in changes.items():
            yield self._changed(answer, name, expect, change)
        unsigned: dict[str, Change] = {
            "departments in another order": lambda c: _turn(_departments(c)),
            "records in another order": lambda c: _turn(_departments(c)[0].handles),
            "another next": _with(next=b"elsewhere"),
            "without its next": lambda c: c.ClearField("next"),
        }
        for name, change in unsigned.items():
            yield self._changed(answer, name, "SIGNATURE_INVALID", change, sign=False)

    def _amendments(self) -> Iterator[Json]:
        """A D5 by the doctor's own key that is not the next one, and the receipt for another than it answers."""
        first, amendment, receipt = (self.steps[name] for name in ("D5", "D5-amended", "P6-amended"))
        sto = self.steps["STO-1-amended"]
        named = payload_of(amendment).amends
        yield self._changed(first, "the first, and amends one", "AMENDMENT_MISMATCH", _with(amends=named))
        yield self._changed(amendment, "without what it amends", "AMENDMENT_MISMATCH", _cleared("amends"))
        yield self._changed(amendment, "amends another", "AMENDMENT_MISMATCH", _with(amends=bytes(32)))
        yield self._changed(amendment, "half of what it amends", "FIELD_INVALID", _with(amends=named[:16]))
        other = _with(amends=bytes(32))
        yield self._changed(amendment, "amends another than was signed", "SIGNATURE_INVALID", other, sign=False)
        before = first.message.SerializeToString(deterministic=True).hex()
        yield self._vector("D5-amended", "the first again", "OUT_OF_ORDER", message=before)
        before = self.steps["P6"].message.SerializeToString(deterministic=True).hex()
        yield self._vector("P6-amended", "the receipt for the first", "OUT_OF_ORDER", message=before)
        older = _with(diagnosis_digest=named)
        yield self._changed(receipt, "for the first", "SIGNATURE_INVALID", older)
        yield self._changed(sto, "without what it amends", "SIGNATURE_INVALID", _cleared("amends"))
        yield self._changed(sto, "amends another", "SIGNATURE_INVALID", _with(amends=bytes(32)))

    def _points(self) -> Iterator[Json]:
        """What is no point, in each field of one, and a verifying key that is none."""
        for name in HANDSHAKE:
            names = NO_POINTS if name == "P1" else NO_POINTS[:1] + NO_POINTS[2:3]
            for field in POINTS:
                tried = names + NO_REGISTRATION_POINTS if field == "registration_point" else names
                yield from (self._pointless(name, field, point) for point in tried)
        tried = NO_POINTS[:1] + NO_REGISTRATION_POINTS
        yield from (self._pointless("reg2-patient", "registration_point", point) for point in tried)
        no_key = _with(verifying_key=b"\x02" + BAD_POINTS[NO_POINTS[0]])
        yield self._changed(self.steps["reg1-patient"], "a verifying_key over no point", "INVALID_POINT", no_key)

    def _pointless(self, name: str, field: str, point: str) -> Json:
        change = _with(**{field: BAD_POINTS[point]})
        return self._changed(self.steps[name], f"{field}: {point}", "INVALID_POINT", change)

    def _bases(self) -> Iterator[Json]:
        """Another R_X1, its own or its receiver's, than the one of now; and points that are none of the session's."""
        for name in HANDSHAKE:
            step = self.steps[name]
            other = _with(registration_point=spec.octets(curve.SMALLEST_X))
            yield self._changed(step, "another registration point", "IDENTITY_MISMATCH", other)
        for name in ("P1", "D3-read"):
            stale = _with(responder_serial=bytes(16))
            yield self._changed(self.steps[name], "a stale base", "CREDENTIAL_SUPERSEDED", stale)
        for name in ("D1", "H1-read"):
            for field in ("agreement_point", "ephemeral_point"):
                change = _with(**{field: A_POINT})
                yield self._changed(self.steps[name], f"another {field}", "KEY_CONFIRMATION_FAILED", change)
        renewed = payload_of(self.steps["reg2-hospital-again"])
        yield self._pointless_statement()
        newer = _with(key_statement=renewed.key_statement, registration_point=renewed.registration_point)
        yield self._changed(self.steps["H1-read"], "of a newer credential", "IDENTITY_MISMATCH", newer)

    def _statements(self) -> Iterator[Json]:
        """Statements whose signature has the high s, and encryption keys that are none."""
        for name, field in (("P1", "key_statement"), ("P1", "encryption_key_statement"), ("D1", "key_statement")):
            high = _with(**{field: _high(getattr(payload_of(self.steps[name]), field))})
            yield self._changed(self.steps[name], f"{field} with the high s", "SIGNATURE_INVALID", high)
        for name in ("P2-1", "D2"):
            wire = "GRANT_INVALID" if name == "D2" else "REJECTED"
            high = _granting(_high(_consent(payload_of(self.steps[name])).grant))
            yield self._changed(self.steps[name], "a grant with the high s", "GRANT_INVALID", high, wire=wire)
        receipt = _with(receipt=_high(payload_of(self.steps["STOACK"]).receipt))
        yield self._changed(self.steps["STOACK"], "a receipt with the high s", "SIGNATURE_INVALID", receipt)
        for name, field in (
            ("reg1-hospital-again", "current_signature"),
            ("STO-1", "biosignal_signature"),
            ("STO-1", "diagnosis_signature"),
        ):
            other = spec.other_half(getattr(payload_of(self.steps[name]), field))
            yield self._changed(
                self.steps[name], f"{field} with the high s", "SIGNATURE_INVALID", _with(**{field: other})
            )
        for name in ("P1", "reg1-patient"):
            for change, bend in {"over no point": _half_over_no_point, "of another KEM": _of_another_kem}.items():
                said = _with(encryption_key_statement=self._restated(self.steps[name], bend))
                yield self._changed(self.steps[name], f"an encryption key {change}", "CREDENTIAL_INVALID", said)

    def _pointless_statement(self) -> Json:
        """KS_P as only a thief of s and PRK_C makes it: S_X would be 0, and K1 what anybody computes."""
        statement = KeyStatement.FromString(payload_of(self.steps["P1"]).key_statement.statement)
        statement.credential = bytes.fromhex(self.without_public_point["credential"])
        statement.registration_point = bytes.fromhex(self.without_public_point["registration_point"])
        signed = sign_statement("ks", statement, self.steps["reg2-patient"].signing_key)
        return self._changed(self.steps["P1"], "U_P = O", "INVALID_POINT", _with(key_statement=signed))

    def _restated(self, step: Step, change: Change) -> SignedStatement:
        """The sender's encryption key, changed, under its own signature."""
        statement = EncryptionKeyStatement.FromString(payload_of(step).encryption_key_statement.statement)
        change(statement)
        return sign_statement("ek", statement, step.signing_key)

    def _content(self) -> Iterator[Json]:
        """Slices, and what a message says of the content in them."""
        for name in ("P2-0", "H2-0", "STO-0", "OWN-0"):
            yield self._framed(self.steps[name], "an empty slice", "FIELD_INVALID", b"")
        last = plaintext_of(self.steps["H2-1"])[:-1] + b"\x01"
        yield self._framed(self.steps["H2-1"], "padding that is not zero", "PADDING_INVALID", last)
        more = plaintext_of(self.steps["H2-0-on"]) + b"\x00"
        yield self._framed(self.steps["H2-0-on"], "more than the manifest says", "PADDING_INVALID", more)
        for name, field in (
            ("P2-1", "biosignal_size_bytes"),
            ("STO-1", "diagnosis_size_bytes"),
            ("OWN-1", "size_bytes"),
        ):
            size = getattr(payload_of(self.steps[name]), field)
            said = {"content where padding is": size - 1, "content of another size": 2 * spec.SMALLEST}
            for change, value in said.items():
                yield self._changed(self.steps[name], change, "PADDING_INVALID", _with(**{field: value}))
        longer = _with(biosignal_size_bytes=MOST_BIOSIGNAL_BYTES + 1)
        yield self._changed(self.steps["STO-1"], "a biosignal that is too long", "LIMIT_REACHED", longer)
        yield from self._documents(self.steps["OWN-1"])

    def _documents(self, own: Step) -> Iterator[Json]:
        """What its author signs of a document, and what c_P commits to."""
        zeros = bytes(32)
        longer = _with(size_bytes=MOST_BIOSIGNAL_BYTES + 1)
        yield self._changed(own, "a document that is too long", "LIMIT_REACHED", longer)
        yield self._changed(own, "another document", "RECORD_DIGEST_MISMATCH", _with(content_digest=zeros))
        yield self._changed(own, "another blind", "COMMITMENT_MISMATCH", _with(blind=zeros))
        yield self._changed(own, "another patient", "COMMITMENT_MISMATCH", _with(patient_id="P:other"))
        yield self._changed(own, "another author", "IDENTITY_MISMATCH", _with(author_id="P:other"))
        yield self._changed(own, "to store", "FIELD_INVALID", _to_store)
        for name, value in {"title": b"Mine", "media_type": "text/html", "sensitivity": 1, "written_at": 1}.items():
            said = _with(**{name: value})
            yield self._changed(own, f"another {name} than was signed", "SIGNATURE_INVALID", said, sign=False)

    def _patients_signature(self) -> Iterator[Json]:
        """Sig_P2 of the same patient over the same biosignal: for another doctor, Cert_D, patient or grant, or none."""
        step, sto = self.steps["P2-1"], self.steps["STO-1"]
        payload = payload_of(step)
        grant, own = payload.consent.grant, payload.patient_id
        other = SignedStatement(statement=grant.statement + b"\x00", signature=grant.signature)
        for change, doctor_id, certificate, patient_id, shown in (
            ("signed for another doctor", "D:other", step.facts.certificate, own, grant),
            ("signed for another Cert_D", step.facts.doctor_id, b"another", own, grant),
            ("signed for another patient", step.facts.doctor_id, step.facts.certificate, "P:other", grant),
            ("signed with another grant", step.facts.doctor_id, step.facts.certificate, own, other),
            ("signed without a grant", step.facts.doctor_id, step.facts.certificate, own, None),
        ):
            said = type(payload)()
            said.CopyFrom(payload)
            said.patient_id = patient_id
            if shown is None:
                said.ClearField("consent")
            else:
                said.consent.grant.CopyFrom(shown)
            facts = replace(step.facts, doctor_id=doctor_id, certificate=certificate)
            signature = step.signing_key.sign(SIGNED["p2"](said, facts).encoded)
            for bent, field in ((step, "signature"), (sto, "biosignal_signature")):
                yield self._changed(bent, change, "SIGNATURE_INVALID", _with(**{field: signature}), sign=False)

    def _authorizations(self) -> Iterator[Json]:
        """What Sig_D2 covers beside the statements' bytes, and what a grant, and a duty, has to say."""
        d2 = self.steps["D2"]
        consent = _consent(payload_of(d2))
        other = SignedStatement(statement=consent.key_statement.statement, signature=bytes(64))
        resigned = _consenting(key_statement=other)
        yield self._changed(d2, "another signature of KS_P", "SIGNATURE_INVALID", resigned, sign=False)
        grant = SignedStatement(statement=consent.grant.statement, signature=bytes(64))
        yield self._changed(d2, "another signature of the grant", "SIGNATURE_INVALID", _granting(grant), sign=False)
        yield self._changed(
            d2, "another duty", "SIGNATURE_INVALID", self._on_duty(_with(duty_id=bytes(16))), sign=False
        )
        for change, bend in {
            "a grant of 366 days and a millisecond": _lasting(366 * DAY_MS + 1),
            "a grant of no time": _lasting(0),
            "a grant for another doctor": _for_doctor("D:other", "M:chamber"),
            "a grant for the doctor of another authority": _for_doctor("D:chen", "M:clinic"),
            "a grant of another signer": _with(signer_id="P:other"),
            "a grant of another registration": _with(signer_serial=bytes(16)),
            "a grant by a deputyship that is not shown": _with(deputyship_digest=bytes(32)),
            "a grant that opens what is secret": _with(highest_sensitivity=SENSITIVITY_SECRET),
            "a grant about another patient": _with(patient_id="P:other", signer_id="P:wang"),
        }.items():
            said = _granting(self._regranted(bend))
            yield self._changed(d2, change, "GRANT_INVALID", said, wire="GRANT_INVALID")
            yield self._changed(self.steps["P2-1"], change, "GRANT_INVALID", said)
        for change, bend in {
            "a grant for a department where the doctor is not": _for_department("H:alpha", "neurology"),
            "a grant for another hospital": _for_hospital("H:other"),
        }.items():
            said = _granting(self._regranted(bend))
            yield self._changed(d2, change, "DUTY_INVALID", said, wire="DUTY_MISSING")
            yield self._changed(self.steps["P2-1"], change, "DUTY_INVALID", said)
        said = _granting(self._regranted(_for_hospital("H:alpha")))
        bare = _both(said, _without_duty)
        yield self._changed(d2, "no duty, and a grant for a hospital", "DUTY_MISSING", bare, wire="DUTY_MISSING")
        for change, bend, expect, wire in (
            ("a duty of 24 hours and a millisecond", _lasting(DAY_MS + 1), "DUTY_INVALID", "DUTY_MISSING"),
            ("a duty of another doctor", _with(doctor_id="D:other"), "DUTY_INVALID", "DUTY_MISSING"),
            ("a duty for another key", _with(verifying_key_digest=bytes(32)), "DUTY_INVALID", "DUTY_MISSING"),
            ("a duty of another registration", _with(hospital_serial=bytes(16)), "DUTY_INVALID", "DUTY_MISSING"),
            ("a duty that is over", _ending(self.now), "DUTY_EXPIRED", "DUTY_EXPIRED"),
        ):
            yield self._changed(d2, change, expect, _both(said, self._on_duty(bend)), wire=wire)
        revoked = _revoking(self._regranted(_with(patient_id="P:other")))
        yield self._changed(self.steps["rev"], "another patient's grant", "GRANT_INVALID", revoked)
        yield self._changed(self.steps["rev"], "for another patient", "IDENTITY_MISMATCH", _with(owner_id="P:other"))
        yield self._changed(self.steps["rev"], "everything, too", "FIELD_INVALID", _with(before=self.now))
        yield self._changed(self.steps["rev-all"], "what comes", "FUTURE_DATED", _with(before=self.now + SKEW_MS + 1))
        yield self._changed(self.steps["rev-duty"], "of another kind", "FIELD_INVALID", _of_kind(STATEMENT_KIND_GRANT))
        rst = self.steps["rst"]
        yield self._changed(rst, "for another patient", "IDENTITY_MISMATCH", _with(patient_id="P:other"))
        yield self._changed(rst, "not following", "FIELD_INVALID", lambda it: it.ClearField("follows"))
        for change, bend, expect in (
            ("another patient's", _with(patient_id="P:other"), "RESTRICTION_INVALID"),
            ("of another registration", _with(signer_serial=bytes(16)), "RESTRICTION_INVALID"),
            ("beside no deputyship", _with(deputyship_digest=bytes(32)), "RESTRICTION_INVALID"),
            ("of a number to come", _with(number=self.now + SKEW_MS + 1), "FUTURE_DATED"),
            ("of a time to come", _with(stated_at=self.now + SKEW_MS + 1), "FUTURE_DATED"),
            ("of a record without its hospital", _without_hospital, "RESTRICTION_INVALID"),
        ):
            yield self._changed(rst, f"a restriction {change}", expect, self._restricted(bend))
        yield from self._owners()

    def _restricted(self, bend: Change) -> Change:
        """State a restriction that is bent and signed again."""
        restriction = Restriction.FromString(payload_of(self.steps["rst"]).restriction.statement)
        bend(restriction)
        signed = SignedStatement(statement=restriction.SerializeToString(deterministic=True))
        signed.signature = self.steps["rst"].signing_key.sign(spec.transcript("restrict", signed.statement))
        return _with(restriction=signed)

    def _owners(self) -> Iterator[Json]:
        """Own access: of a doctor, to another patient's records, and with a Cert_D that no patient has."""
        own = self.steps["D2-own"]
        yield self._changed(
            own, "another patient's records", "NOT_OWN_RECORD", _with(patient_id="P:other"), wire="NOT_OWN_RECORD"
        )
        doctors = payload_of(self.steps["D2"])
        yield self._changed(
            own, "with a Cert_D", "CERTIFICATE_FOREIGN", _with(doctor_certificate=doctors.doctor_certificate)
        )
        log, asked = self.steps["D2-log"], "GRANT_SCOPE"
        yield self._changed(self.steps["D2"], "a doctor for the log", asked, _for_log, wire=asked)
        yield self._changed(log, "of one class", "FIELD_INVALID", _with(department_class="cardiology"))
        yield self._changed(log, "to read", "FIELD_INVALID", _with(right=RIGHT_READ))
        found = payload_of(self.steps["C-own"]).hospitals
        yield self._changed(
            self.steps["C-log"], "with a hospital", "ANSWER_MISMATCH", lambda c: c.hospitals.extend(found)
        )
        entries = payload_of(self.steps["C-log"]).accesses
        yield self._changed(self.steps["C"], "with a log", "ANSWER_MISMATCH", lambda c: c.accesses.extend(entries))
        head = payload_of(self.steps["C-log"]).log_head
        yield self._changed(self.steps["C"], "with a log's head", "ANSWER_MISMATCH", _with(log_head=head))
        shown = Access(own=OwnAccess())
        yield self._changed(
            self.steps["D2"], "a doctor's own records", "NOT_OWN_RECORD", _with(access=shown), wire="NOT_OWN_RECORD"
        )

    def _regranted(self, change: Change) -> SignedStatement:
        """The patient's grant, changed, under its own signature."""
        grant = Grant.FromString(_consent(payload_of(self.steps["D2"])).grant.statement)
        change(grant)
        return self._signed("grant", grant, self.steps["P1"])

    def _on_duty(self, change: Change) -> Change:
        """The doctor's duty, changed, under its hospital's signature."""
        duty = Duty.FromString(_consent(payload_of(self.steps["D2"])).duty.duty.statement)
        change(duty)
        signed = self._signed("duty", duty, self.steps["H1-read"])

        def bend(payload: Any) -> None:
            payload.access.consent.duty.duty.CopyFrom(signed)

        return bend

    def _signed(self, label: str, message: Message, signer: Step) -> SignedStatement:
        statement = message.SerializeToString(deterministic=True)
        return SignedStatement(
            statement=statement, signature=signer.signing_key.sign(spec.transcript(label, statement))
        )

    def _forms(self) -> Iterator[Json]:
        """A time past 9999, an address that chooses a resolver: in clear, in a payload, in a statement under a seal."""
        late = 253_402_300_800_000
        for name in ("P1", "D1", "C", "H1-read", "P2-1", "D4", "room"):
            yield self._clear(self.steps[name], "a time past 9999", "FIELD_INVALID", precise=True, sent_at=late)
        yield self._clear(self.steps["D5"], "a time past 9999", "FIELD_INVALID", sent_at=late)
        for name in ("P2-1", "D2"):
            wire = "GRANT_INVALID" if name == "D2" else "REJECTED"
            said = _granting(self._regranted(_with(not_after=late)))
            yield self._changed(self.steps[name], "a grant that ends past 9999", "GRANT_INVALID", said, wire=wire)
        stored = plaintext_of(self.steps["H2-0"]) + plaintext_of(self.steps["H2-1"])
        yield self._framed(self.steps["H2-0"], "a record stored past 9999", "FIELD_INVALID", _stored_at(stored, late))
        receipt = DepositReceipt.FromString(payload_of(self.steps["STOACK"]).receipt.statement)
        receipt.stored_at = late
        statement = receipt.SerializeToString(deterministic=True)
        signature = self.steps["H1-read"].signing_key.sign(spec.transcript("stoack", statement))
        signed = SignedStatement(statement=statement, signature=signature)
        yield self._changed(self.steps["STOACK"], "a receipt stored past 9999", "FIELD_INVALID", _with(receipt=signed))
        for address in ("unix-abstract:evil:1", "vsock:1:2", "xds:///x:1", "h:99999"):
            yield self._changed(self.steps["C"], f"the address {address}", "FIELD_INVALID", _at(address))
            yield self._changed(self.steps["ekput"], f"the address {address}", "FIELD_INVALID", _with(address=address))

    def _renewals(self, step: Step) -> Iterator[Json]:
        yield self._vector(step.name, "taken before", "CHALLENGE_INVALID", replayed=True)
        stranger = self.steps["P1"].signing_key.sign(b"something else")
        yield self._changed(
            step, "somebody else's live signature", "SIGNATURE_INVALID", _with(current_signature=stranger)
        )
        yield self._changed(step, "without its live signature", "TICKET_INVALID", _not_renewing)
        yield self._changed(step, "another licence", "SIGNATURE_INVALID", _with(evidence=b"another licence"))
        yield self._changed(step, "a ticket beside", "FIELD_INVALID", _with(ticket=bytes(16)))

    def _flipped(self, name: str) -> Json:
        message = self.steps[name].message
        start = message.SerializeToString(deterministic=True).index(message.sealed)
        bit = (start + len(message.sealed) // 2) * 8 + 3
        return self._vector(name, "a flipped bit", "SEAL_INVALID", flip_bit=bit)

    def _cut(self, step: Step, size: int) -> Iterator[Json]:
        """Shorter than any seal: libraries read beyond the end, or count from it."""
        yield self._clear(step, "an empty seal", "SEAL_INVALID", sealed=b"")
        yield self._clear(step, "a seal cut short", "SEAL_INVALID", sealed=step.message.sealed[:size])

    def _clear(self, step: Step, change: str, expect: str, *, precise: bool = False, **fields: Any) -> Json:
        said = {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
        return self._vector(step.name, change, expect, expect if precise else "REJECTED", set=said)

    def _changed(
        self, step: Step, name: str, expect: str, change: Change, wire: str = "REJECTED", *, sign: bool = True
    ) -> Json:
        payload = payload_of(step)
        change(payload)
        if sign and change not in (self._forged, _unsigned):
            self._sign_again(step, payload)
        return self._resealed(step, name, expect, plaintext=payload.SerializeToString(deterministic=True), wire=wire)

    def _sign_again(self, step: Step, payload: Any) -> None:
        """An insider's message: everything that an insider can make right again is right again."""
        if step.label == "d2" and payload.proof != bytes(32):
            payload.proof = spec.hmac.digest(self._shared_key(step), d2_proof(payload).encoded, "sha256")
        if step.label == "c" and payload.proof != bytes(32):
            payload.proof = spec.hmac.digest(self._shared_key(step), c_proof(payload, step.facts).encoded, "sha256")
        if step.label in SIGNED:
            sign_again(step, payload)

    def _shared_key(self, step: Step) -> bytes:
        """K_A of who asks; D2's and C's steps of the doctor's question have no suffix, the patient's have."""
        asker = payload_of(self.steps["D2" + step.name.removeprefix("D2").removeprefix("C")]).asker_id
        return bytes.fromhex(self.kept[f"shared key of {asker}"]["value"])

    def _forged(self, payload: Any) -> None:
        payload.signature = self.steps["P1"].signing_key.sign(b"something else")

    def _resealed(
        self,
        step: Step,
        change: str,
        expect: str,
        *,
        context: Context | None = None,
        plaintext: bytes | None = None,
        append: bytes = b"",
        spoil_padding: bool = False,
        wire: str = "REJECTED",
    ) -> Json:
        message = type(step.message)()
        message.CopyFrom(step.message)
        content = (plaintext_of(step) if plaintext is None else plaintext) + append
        if step.sealed:
            whole = padded(step, content)
            whole = whole[:-1] + b"\x01" if spoil_padding else whole
            message.sealed = self._seal(f"{step.name}: {change}", step, context or step.sealed[1], whole)
        else:
            message.sealed = _frame(step, spec.padded(spec.field(content)))
        encoded = message.SerializeToString(deterministic=True).hex()
        return self._vector(step.name, change, expect, wire, message=encoded)

    def _framed(self, step: Step, change: str, expect: str, plaintext: bytes) -> Json:
        """A frame with that plaintext, whatever its padding."""
        message = type(step.message)()
        message.CopyFrom(step.message)
        message.sealed = _frame(step, plaintext)
        encoded = message.SerializeToString(deterministic=True).hex()
        return self._vector(step.name, change, expect, message=encoded)

    def _seal(self, name: str, step: Step, context: Context, whole: bytes) -> bytes:
        assert step.sealed is not None
        key = step.sealed[0]
        sealed = self._kept(name, step, key, context, whole)
        return sealed or seal(key.encryption_key, whole, info_of(context))

    def _kept(self, name: str, step: Step, key: DecryptionKey, context: Context, whole: bytes) -> bytes | None:
        """Give the ciphertext that was made before, if it still says the same to the same receiver."""
        if "message" not in self.kept.get(name, {}):
            return None
        sealed: bytes = type(step.message).FromString(bytes.fromhex(self.kept[name]["message"])).sealed
        try:
            return sealed if padded_plaintext(key, context, sealed) == whole else None
        except SealBroken:
            return None

    def _context(self, step: Step) -> Context:
        assert step.sealed is not None
        return step.sealed[1]

    def _vector(self, base: str, change: str, expect: str, wire: str = "REJECTED", **more: Any) -> Json:
        return {"name": f"{base}: {change}", "base": base, "expect": expect, "wire": wire, "now": self.now} | more


def _cleared(field: str) -> Change:
    return lambda payload: payload.ClearField(field)


def _heightened(payload: Any) -> None:
    payload.signature = spec.other_half(payload.signature)


def _high(statement: SignedStatement) -> SignedStatement:
    return SignedStatement(statement=statement.statement, signature=spec.other_half(statement.signature))


def _half_over_no_point(statement: EncryptionKeyStatement) -> None:
    key = statement.encryption_key[:MLKEM_KEY_BYTES] + b"\x04" + BAD_POINTS[NO_POINTS[0]] + bytes(32)
    statement.encryption_key, statement.key_id = key, spec.sha256(key)[:16]


def _of_another_kem(statement: EncryptionKeyStatement) -> None:
    statement.kem = MLKEM768_X25519


def _lasting(life: int) -> Change:
    def change(grant: Any) -> None:
        grant.not_after = grant.not_before + life

    return change


def _departments(answer: Any) -> Any:
    return answer.hospitals[0].departments


def _turn(parts: Any) -> None:
    turned = [*parts][::-1]
    del parts[:]
    parts.extend(turned)


def _named_otherwise(answer: Any) -> None:
    answer.hospitals[0].hospital_id = "H:other"
    for department in _departments(answer):
        department.department_id = department.department_id.replace("H:alpha", "H:other")


def _at(address: str) -> Change:
    def change(answer: Any) -> None:
        answer.hospitals[0].address = address

    return change


def _stored_at(content: bytes, moment: int) -> bytes:
    """M_EMR || zeros, its record stored at another moment."""
    size = int.from_bytes(content[:4], "big")
    manifest = RecordManifest.FromString(content[4 : 4 + size])
    manifest.records[0].stored_at = moment
    return spec.padded(spec.field(manifest.SerializeToString(deterministic=True)) + content[4 + size :])


def _later(payload: Any) -> None:
    payload.sent_at += 1


def _unsigned(payload: Any) -> None:
    payload.ClearField("signature")


def _not_renewing(payload: Any) -> None:
    payload.ClearField("current_signature")


def _ungranted(payload: Any) -> None:
    payload.ClearField("access")


def _consent(payload: Any) -> Any:
    """The consent of a P2, or of what is shown elsewhere."""
    return payload.consent if "consent" in payload.DESCRIPTOR.fields_by_name else payload.access.consent


def _consenting(**fields: Any) -> Change:
    def change(payload: Any) -> None:
        _with(**fields)(_consent(payload))

    return change


def _granting(grant: SignedStatement) -> Change:
    return _consenting(grant=grant)


def _revoking(grant: SignedStatement) -> Change:
    def change(payload: Any) -> None:
        payload.statements[0].statement.CopyFrom(grant)

    return change


def _of_kind(kind: int) -> Change:
    def change(payload: Any) -> None:
        payload.statements[0].kind = kind

    return change


def _to_store(payload: Any) -> None:
    payload.scope.purpose = PURPOSE_STORE


def _for_log(payload: Any) -> None:
    payload.right = RIGHT_LOG
    payload.department_class = "*"


def _without_duty(payload: Any) -> None:
    _consent(payload).ClearField("duty")


def _without_hospital(restriction: Any) -> None:
    restriction.hidden[0].hospital = "*"


def _both(first: Change, second: Change) -> Change:
    def change(payload: Any) -> None:
        first(payload)
        second(payload)

    return change


def _for_doctor(doctor_id: str, authority_id: str) -> Change:
    return _with(grantee=Grantee(doctor=DoctorGrantee(doctor_id=doctor_id, authority_id=authority_id)))


def _for_department(hospital_id: str, department_class: str) -> Change:
    named = DepartmentGrantee(hospital_id=hospital_id, department_class=department_class)
    return _with(grantee=Grantee(department=named))


def _for_hospital(hospital_id: str) -> Change:
    return _with(grantee=Grantee(hospital=HospitalGrantee(hospital_id=hospital_id)))


def _ending(moment: int) -> Change:
    def change(statement: Any) -> None:
        statement.not_before, statement.not_after = moment - 1000, moment

    return change


def _with(**fields: Any) -> Change:
    def change(payload: Any) -> None:
        for name, value in fields.items():
            if isinstance(value, bytes | str | int):
                setattr(payload, name, value)
            else:
                getattr(payload, name).CopyFrom(value)

    return change


def _frame(step: Step, plaintext: bytes) -> bytes:
    assert step.framed is not None
    (name, keys), frame = step.framed, step.message
    data = spec.frame_associated_data(name, frame.session_id, frame.sequence, frame.sent_at, last=frame.last)
    return AESGCM(keys.key).encrypt(spec.frame_nonce(keys.iv, frame.sequence), plaintext, data)
