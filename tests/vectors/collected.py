"""Statements, and everything that is a hash, HMAC or HKDF of a transcript without being signed."""

import hmac
from typing import Any

from google.protobuf.message import Message

from federation.protocol.statements import sign_statement
from federation.v1 import directory_pb2, membership_pb2, publication_pb2, record_pb2, statement_pb2
from federation.v1.access_pb2 import Access
from federation.v1.statement_pb2 import SignedStatement
from tests.vectors import granted, revocations, signed, spec
from tests.vectors.describe import payload_of, plaintext_of
from tests.vectors.draws import Json
from tests.vectors.signed import Transcript, t
from tests.vectors.spec import sha256, text, u64
from tests.vectors.world import Step, World


def statements(world: World, steps: dict[str, Step], shown: dict[str, Access], bundle: SignedStatement) -> list[Json]:
    """Every statement: its exact bytes, what is signed, the signature, H of it."""
    cloud, now, day = world.cloud, world.now, 24 * 3_600_000
    head = statement_pb2.RevocationHead(
        sequence=2,
        this_update=now,
        next_update=now + day // 24,
        root=revocations.SET.root,
        entries=len(revocations.SET.entries) + len(revocations.SET.sweeps),
        revision=5,
        bundle_sequence=3,
    )
    puback = publication_pb2.PublicationReceipt(publication_digest=sha256(plaintext_of(steps["pub"])), done_at=now)
    renewed = statement_pb2.EncryptionKeyStatement.FromString(world.hospital.encryption_key_statement.statement)
    ekack = membership_pb2.RenewalReceipt(key_id=renewed.key_id, done_at=now)
    stoack = payload_of(steps["STOACK"]).receipt
    cloud_key = cloud.signing_key.verifying_key.data
    parties = {"patient": world.patient, "doctor": world.doctor, "hospital": world.hospital}
    found = [
        _statement(
            "ek of the cloud", "ek", statement_pb2.EncryptionKeyStatement, cloud.encryption_key.statement, cloud_key
        )
    ]
    for name, party in parties.items():
        own, keys = party.self_, party.encryption_key_statement
        found.append(_statement(f"ks of the {name}", "ks", statement_pb2.KeyStatement, own.key_statement, cloud_key))
        key = own.verifying_key
        found.append(_statement(f"ek of the {name}", "ek", statement_pb2.EncryptionKeyStatement, keys, key))
    hospital_key = world.hospital.self_.verifying_key
    found += [
        *(_statement(name, *one) for name, one in granted.statements(world, shown).items()),
        _statement("restrict", "restrict", statement_pb2.Restriction, *_restriction(world, steps)),
        _signed("review", _review(world, shown), world.hospital.signing_key),
        _statement("stoack", "stoack", record_pb2.DepositReceipt, stoack, hospital_key),
        _signed("rl", head, cloud.signing_key),
        _signed("puback", puback, cloud.signing_key),
        _signed("ekack", ekack, cloud.signing_key),
        _statement("tb", "tb", directory_pb2.TrustBundle, bundle, cloud_key),
    ]
    return found


def _review(world: World, shown: dict[str, Access]) -> statement_pb2.Review:
    declared = shown["an emergency"].emergency.emergency.statement
    return statement_pb2.Review(
        emergency_digest=sha256(spec.transcript("bg", declared)),
        hospital_id=world.hospital.identity,
        hospital_serial=world.hospital.self_.serial,
        officer="officer seven",
        justified=True,
        note_digest=sha256(b"He was alone."),
        stated_at=world.now,
    )


def _restriction(world: World, steps: dict[str, Step]) -> tuple[SignedStatement, bytes]:
    return payload_of(steps["rst"]).restriction, world.patient.self_.verifying_key


def _signed(label: str, message: Message, key: Any) -> Json:
    statement = sign_statement(label, message, key)
    return _statement(label, label, type(message), statement, key.verifying_key.data)


def _statement(name: str, label: str, kind: type[Message], statement: SignedStatement, key: bytes) -> Json:
    transcript = spec.transcript(label, statement.statement)
    return {
        "name": name,
        "expect": "success",
        "label": label,
        "message_type": kind.DESCRIPTOR.full_name,
        "statement": statement.statement.hex(),
        "transcript": transcript.hex(),
        "verifying_key": key.hex(),
        "signature": statement.signature.hex(),
        "digest": sha256(transcript).hex(),
    }


def derived(world: World, steps: dict[str, Step], shown: dict[str, Access]) -> list[Json]:
    """Codes, commitments, proofs, replay keys, index keys, biometric derivations."""
    p1, d2, answer = (payload_of(steps[name]) for name in ("P1", "D2", "C"))
    d3, d4, pub, room = (payload_of(steps[name]) for name in ("D3-read", "D4", "pub", "room"))
    ks, doctor = world.doctor.self_.key_statement, text(world.doctor.identity)
    index_key, identity = bytes(range(32)), t("identity", text("P:wang"))
    whose = hmac.digest(index_key, identity.encoded, "sha256")
    patient, row_class = hmac.digest(whose, t("idx").encoded, "sha256"), t("idx-class", text("cardiology"))
    row_key = hmac.digest(patient, row_class.encoded, "sha256")
    consent = d2.access.consent
    grant = statement_pb2.Grant.FromString(consent.grant.statement)
    hashes = {
        "what the live key of a renewal signs": signed.renew(
            payload_of(steps["reg1-hospital-again"]), world.cloud.identity
        ),
        "the doctor's code": t("code", ks.statement, ks.signature, world.doctor.certificate),
        "attribute of a patient": t("bp", world.biometric_password),
        "revocation entry of a credential": t("serial", world.patient.self_.serial),
        "revocation entry of a grant": signed.revoked("grant", grant.patient_id, grant.grant_id),
        "revocation entry of a duty": signed.revoked("duty", world.hospital.identity, bytes(16)),
        "revocation entry of an encryption key": t("key", bytes(16)),
        "what a shard's leaf holds": t("shard", b"".join(revocations.SET.shard(0xABC)[0]), b""),
        "a patient's sweep": signed.sweep(world.patient.identity),
        "Hs of the grant": signed.hs("grant", consent.grant),
        "Hs of KS_P": signed.hs("ks", consent.key_statement),
        "what a second clinician signs": t("bg-second", shown["an emergency"].emergency.emergency.statement),
        **granted.digests(world, shown),
        "scope": signed.scope(d4.scope),
        "commitment c_P": signed.commitment(d4),
        "replay key of P1": t("P1", text(p1.patient_id), p1.agreement_point),
        "replay key of D2": t("D2", text(d2.asker_id), d2.nonce),
        "replay key of D3": t("D3", text(d3.asker_id), d3.agreement_point),
        "replay key of PUB": t("PUB", text(pub.hospital_id), pub.nonce),
        "replay key of a room": t("ROOM", doctor, room.nonce),
        "what PRK_C signs of what is hidden": signed.rstack(
            plaintext_of(steps["rst"]), payload_of(steps["rst"]).restriction, (2, 1), world.now
        ),
        "what closes a room": t("room-close", doctor, text(world.hospital.identity), bytes(range(16))),
    }
    codes = {
        "proof of D2": (world.shared_key(world.doctor), signed.d2_proof(d2)),
        "proof of C": (world.shared_key(world.doctor), signed.c_proof(answer, signed.Facts(query=d2))),
        "a patient's value W": (index_key, identity),
        "a patient's value V in the index": (whose, t("idx")),
        "key of a patient's records": (whose, t("pat")),
        "key of the log's entries about a patient": (whose, t("accesses")),
        "key of what a patient hides": (whose, t("restriction")),
        "a patient, as a budget counts it": (whose, t("budget-patient")),
        "bucket of the index, its first two bytes": (patient, t("idx-bucket")),
        "row key of the index": (patient, row_class),
        "level of a restricted record in the index, its first eight bytes": (patient, t("idx-level", b"restricted")),
        "hospital key of the index": (patient, t("idx-hospital", b"H:alpha")),
        "row id of the index": (patient, t("idx-row", row_key, b"H:alpha", b"handle of record")),
    }
    fuzzy, device = bytes(range(32)), bytes(range(32, 64))
    infos = {
        "biometric password": (t("bp-derive", text("vectors"), u64(1)), 32),
        "token PIN, before base 32": (t("token-pin", text("vectors")), 15),
    }
    found = [_value(name, "sha256", sha256(transcript.encoded), transcript) for name, transcript in hashes.items()]
    for name, (key, transcript) in codes.items():
        value = hmac.digest(key, transcript.encoded, "sha256")
        found.append(_value(name, "hmac-sha256", value, transcript) | {"key": key.hex()})
    for name, (transcript, size) in infos.items():
        value = spec.expand(spec.extract(bytes(32), fuzzy + device), transcript.encoded, size)
        inputs = {"fuzzy_key": fuzzy.hex(), "device_secret": device.hex()}
        found.append(_value(name, "hkdf-sha256", value, transcript) | inputs)
    return found


def _value(name: str, kind: str, value: bytes, transcript: Transcript) -> Json:
    return {
        "name": name,
        "expect": "success",
        "kind": kind,
        "label": transcript.label,
        "fields": [field.hex() for field in transcript.fields],
        "transcript": transcript.encoded.hex(),
        "value": value.hex(),
    }
