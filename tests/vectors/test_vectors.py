"""The vectors, replayed through the real code; and the lowest layers held to their second writing in spec.py."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from google.protobuf.message import Message

from federation.errors import FederationError, TicketInvalid
from federation.party.registration import parse_ticket
from federation.person.code import DoctorCode
from federation.person.errors import CodeInvalid
from federation.protocol import frames
from federation.protocol.handshake import derive
from federation.protocol.parsing import parse
from federation.protocol.registration import LiveRegistration, Registered
from federation.protocol.statements import open_statement
from federation.v1 import directory_pb2, membership_pb2, publication_pb2, record_pb2, statement_pb2
from federation.v1.registration_pb2 import RegistrationRequest
from federation.v1.statement_pb2 import SignedStatement
from hsm import Token
from keystore import biometric
from keystore.agreement import Agreeing, SoftwareAgreement, agree
from keystore.curve import (
    compressed,
    hash_to_curve,
    point_over,
    private_key,
    public_point,
    require_point,
    require_registration_point,
)
from keystore.errors import CredentialMismatch, InvalidPoint, SealBroken
from keystore.fuzzy import FuzzyKey
from keystore.generations import Generation, Generations, label_of
from keystore.issuing import check_issued
from keystore.keyring import AgreementPrf, KeyRing, MacPrf, Prf, TokenSealing
from keystore.policies import PERSON_POLICIES, POLICIES, REGISTRATION_PREFIX, SEALING
from keystore.signatures import VerifyingKey
from keystore.transcript import transcript
from tests.vectors import (
    broken,
    bundles,
    certificates,
    graces,
    logs_replayed,
    one_sided,
    placed,
    revocations,
    said,
    scenario,
    spec,
    told,
)
from tests.vectors.describe import describe, plaintext_of
from tests.vectors.draws import Json, Stream
from tests.vectors.generate import PHASES, ROLES
from tests.vectors.kept import FILES, named, raw, vectors
from tests.vectors.replay import outcome
from tests.vectors.software import Cast, decryption_key, issuing_key, signing_key
from tests.vectors.world import Step, register

ROOT = Path(__file__).parents[2]
KeyOf = Callable[[str, Registered, Cast], Agreeing | None]


def in_software(name: str, registered: Registered, cast: Cast) -> Agreeing | None:
    return None


@dataclass
class Replay:
    """Carries the recorded bytes in place of what a sender has just made, and requires both to say the same."""

    vectors: dict[str, Json]
    key_of: KeyOf = in_software
    steps: dict[str, Step] = field(default_factory=dict)

    def carry(self, step: Step) -> Any:
        vector = self.vectors[step.name]
        recorded = replace(step, message=type(step.message).FromString(bytes.fromhex(vector["message"])))
        assert plaintext_of(step).hex() == vector["plaintext"]
        assert describe(recorded, vector["now"]) == vector
        if "signed" in vector:
            key = VerifyingKey(bytes.fromhex(vector["signed"]["verifying_key"]))
            key.verify(*raw(vector["signed"], "signature", "transcript"))
        self.steps[step.name] = recorded
        return step.receive(recorded.message, now=vector["now"])

    def entropy(self, name: str) -> Stream:
        return Stream(bytes.fromhex(FILES["entropy"][name]))

    def run(self) -> None:
        cast = Cast(FILES["parties"])
        parties = {}
        for role in ROLES:
            applicant = cast.applicant(role)
            common = cast.cloud(), cast.verifier()
            registered = register(*common, applicant, self.entropy, self.carry, cast.now, cast.begin(role))
            parties[role] = cast.party(role, registered, self.key_of(role, registered, cast))
        live = LiveRegistration(parties["hospital"].self_.key_statement)
        register(*common, cast.renewing(), self.entropy, self.carry, cast.now, cast.now, live)
        scenario.run(cast.world(parties, self.entropy), self.carry)


def messages() -> dict[str, Json]:
    return {vector["name"]: vector for phase in PHASES for vector in vectors(phase)}


@pytest.fixture(scope="module")
def replay() -> Replay:
    replay = Replay(messages())
    replay.run()
    return replay


def test_every_message_of_every_phase_replays(replay: Replay) -> None:
    assert set(replay.steps) == set(messages())


@named("bundles")
def test_every_bundle_is_followed_or_refused(vector: Json) -> None:
    assert bundles.outcome(vectors("bundles"), vector) == vector["expect"]


@named("certificates")
def test_every_certificate_is_taken_or_refused(vector: Json) -> None:
    assert certificates.outcome(vector) == vector["expect"]


@named("revocations")
def test_every_shard_and_every_change_is_taken_or_refused(vector: Json) -> None:
    assert revocations.outcome(vector) == vector["expect"]


@named("log")
def test_every_vector_of_the_log_is_taken_or_refused(vector: Json) -> None:
    assert logs_replayed.outcome(vector) == vector["expect"]


@named("one_sided")
def test_what_one_side_alone_has_is_said(vector: Json) -> None:
    assert [
        {"where": where, "number": number, "words": words} for where, number, words in one_sided.outcome(vector)
    ] == (vector["remarks"])


@named("told")
def test_what_a_log_tells_is_taken_or_refused(vector: Json) -> None:
    assert told.outcome(vector, Cast(FILES["parties"]).verifier())[0] == vector["expect"]


@named("grace")
def test_every_head_that_is_over_counts_as_long_as_it_may(vector: Json) -> None:
    assert graces.outcome(vector) == vector["expect"]


@named("broken")
def test_record_that_broke_goes_on_behind_what_came(vector: Json) -> None:
    assert broken.outcome(vector) == vector["offset"]


@named("places")
def test_every_page_of_places_is_taken_or_refused(vector: Json) -> None:
    assert placed.outcome(vector, Cast(FILES["parties"]).verifier()) == vector["expect"]


@named("plain")
def test_what_a_person_reads_of_a_refusal(vector: Json) -> None:
    assert said.outcome(vector) == (vector["expect"], vector["said"])


def test_the_live_key_signed_the_renewal() -> None:
    by_name = {vector["name"]: vector for vector in vectors("derived")}
    covered = by_name["what the live key of a renewal signs"]["transcript"]
    request = RegistrationRequest.FromString(bytes.fromhex(messages()["reg1-hospital-again"]["plaintext"]))
    live = Cast(FILES["parties"]).applicant("hospital").signing_key.verifying_key
    live.verify(request.current_signature, bytes.fromhex(covered))


@named("refusals")
def test_every_refusal_replays(replay: Replay, vector: Json) -> None:
    assert outcome(replay.steps[vector["base"]], vector) == (vector["expect"], vector["wire"])


def test_a_token_gives_the_same_session_keys_for_the_imported_secret(make_token: Callable[[str], Token]) -> None:
    """S_X fixed, imported into a real token: the whole run yields the recorded bytes, so the same keys."""

    def in_token(name: str, registered: Registered, cast: Cast) -> Agreeing | None:
        return _imported(make_token(name), bytes(registered.registration_secret))

    replay = Replay(messages(), in_token)
    replay.run()
    _require_scheduled(replay)


def _imported(token: Token, secret: bytes, number: int = 0) -> Agreeing:
    label, policy = f"{REGISTRATION_PREFIX}{number}", POLICIES[REGISTRATION_PREFIX]
    token.import_key(label, policy, bytearray(secret))
    return token.agreement(label, policy)


@named("transcript")
def test_transcript(vector: Json) -> None:
    fields = [bytes.fromhex(value) for value in vector["fields"]]
    assert transcript(vector["label"], *fields).hex() == vector["transcript"]
    assert hashlib.sha256(bytes.fromhex(vector["transcript"])).hexdigest() == vector["sha256"]


@named("points")
def test_point(vector: Json) -> None:
    point, registers = bytes.fromhex(vector["point"]), vector["kind"] == "KIND_REGISTRATION_POINT"
    accepted = vector["expect"] == "success"
    assert (spec.may_be_registered if registers else spec.may_be_received)(point) == accepted
    require = require_registration_point if registers else require_point
    if accepted:
        assert require(point) == point
        assert compressed(point_over(point)) == b"\x02" + point
    else:
        with pytest.raises(InvalidPoint) as refused:
            require(point)
        assert refused.value.reason == vector["expect"]


@named("verifying_keys")
def test_verifying_key(vector: Json) -> None:
    key = bytes.fromhex(vector["verifying_key"])
    accepted = vector["expect"] == "success"
    assert spec.is_verifying_key(key) == accepted
    if accepted:
        assert compressed(VerifyingKey(key).x509) == VerifyingKey(key).data == key
    else:
        with pytest.raises(InvalidPoint) as refused:
            VerifyingKey(key)
        assert refused.value.reason == vector["expect"]


@named("signatures")
def test_signature(vector: Json) -> None:
    public, message, signature = raw(vector, "verifying_key", "message", "signature")
    accepted = vector["expect"] == "success"
    assert spec.holds(public, message, signature) == accepted
    if accepted:
        key = signing_key(vector["private_key"])
        assert (key.verifying_key.data, key.sign(message)) == (public, signature)
        VerifyingKey(public).verify(signature, message)
    else:
        with pytest.raises(InvalidSignature):
            VerifyingKey(public).verify(signature, message)


@named("agreement")
def test_agreement(vector: Json) -> None:
    private, point = raw(vector, "private_key", "point")
    fields = map(bytes.fromhex, vector["fields"])
    agreed = agree(SoftwareAgreement(private_key(private)), point_over(point), vector["label"], *fields)
    assert agreed.hex() == vector["value"]


def test_a_token_agrees_as_the_vectors_say(token: Token) -> None:
    """Zeros at the begin of x are kept, whatever the token does itself."""
    for number, vector in enumerate(vectors("agreement")):
        private, point = raw(vector, "private_key", "point")
        key, fields = _imported(token, private, number), map(bytes.fromhex, vector["fields"])
        assert agree(key, point_over(point), vector["label"], *fields).hex() == vector["value"], vector["name"]


@named("hash_to_curve")
def test_hash_to_curve(vector: Json) -> None:
    message, point = raw(vector, "message", "point")
    assert bytes.fromhex(vector["tag"]) == spec.HASHING_TAG
    assert compressed(hash_to_curve(message)) == point


@dataclass(frozen=True)
class Book:
    """Generations of one purpose, the last of which is active."""

    purpose: str
    last: int

    def read(self) -> Generations:
        return Generations({self.purpose: tuple(Generation(n, active_from=0) for n in range(1, self.last + 1))})


@named("sealing")
def test_seal_at_rest_opens_by_a_token(vector: Json, token: Token) -> None:
    purpose, generation = vector["purpose"], vector["generation"]
    policy = (POLICIES if vector["kind"] == "HMAC-SHA256" else PERSON_POLICIES)[SEALING]
    key, sealed, associated_data = raw(vector, "key", "sealed", "associated_data")
    token.import_key(label_of(purpose, generation), policy, bytearray(key))

    def open_key(label: str) -> Prf:
        return (
            MacPrf(token.mac(label, policy))
            if policy is POLICIES[SEALING]
            else AgreementPrf(token.agreement(label, policy))
        )

    sealing = TokenSealing(purpose, KeyRing(purpose, open_key, Book(purpose, generation), lambda: 1))
    if vector["expect"] == "success":
        assert sealing.open(sealed, associated_data).hex() == vector["plaintext"]
        assert sealing.generation_of(sealed) == generation
    else:
        with pytest.raises(SealBroken) as refused:
            sealing.open(sealed, associated_data)
        assert refused.value.reason == vector["expect"]


def parsed(kind: type[Message], encoded: bytes) -> str:
    try:
        parse(kind, encoded)
    except FederationError as error:
        return error.reason
    return "success"


@named("padding")
def test_padded_size(vector: Json) -> None:
    assert spec.padded_size(vector["size"]) == vector["padded"]
    assert frames.padded_size(vector["size"]) == vector["padded"]


@named("forms")
def test_form_of_a_field(vector: Json) -> None:
    modules = (directory_pb2, membership_pb2, record_pb2)
    name = vector["message_type"].rpartition(".")[2]
    kind = next(getattr(module, name) for module in modules if hasattr(module, name))
    assert parsed(kind, bytes.fromhex(vector["message"])) == vector["expect"]


@named("typed")
def test_what_is_typed(vector: Json) -> None:
    def said() -> list[str]:
        if vector["kind"] == "ticket":
            return [parse_ticket(vector["text"]).hex()]
        code = DoctorCode.parse(vector["text"])
        assert str(code) == vector["text"].strip()
        return [code.address, code.hospital_id, code.room_id.hex(), code.digest.hex()]

    if vector["expect"] == "success":
        assert said() == [
            vector[name] for name in ("ticket", "address", "hospital_id", "room_id", "digest") if name in vector
        ]
        return
    with pytest.raises((TicketInvalid, CodeInvalid)) as raised:
        said()
    assert raised.value.reason == vector["expect"]


@named("issuing")
def test_issuing(vector: Json) -> None:
    issuer, credential, rho = raw(vector, "issuer_public_key", "credential", "registration_point")
    if vector["expect"] == "INVALID_POINT":
        with pytest.raises(InvalidPoint):
            public_point(rho, issuer, credential)
        return
    secret = bytes.fromhex(vector["registration_secret"])
    if vector["expect"] != "success":
        with pytest.raises(CredentialMismatch):
            check_issued(issuer, credential, rho + secret)
        return
    key = issuing_key(vector["issuing_key"])
    issued = key.issue(credential)
    assert key.public_key == issuer
    assert (issued.registration_point, bytes(issued.registration_secret)) == (rho, secret)
    assert compressed(check_issued(issuer, credential, rho + secret)).hex() == vector["public_point"]
    assert compressed(public_point(rho, issuer, credential)).hex() == vector["public_point"]
    assert issued.shared_key(vector["identity"], bytes.fromhex(vector["serial"])).hex() == vector["shared_key"]


@named("schedule")
def test_key_schedule(vector: Json) -> None:
    hashed = vector["transcript_hash"]
    encoded = transcript(hashed["label"], *map(bytes.fromhex, hashed["fields"]))
    th = hashlib.sha256(encoded).digest()
    assert th.hex() == hashed["value"]
    first, second = map(bytes.fromhex, vector["contributions"])
    k1, k2, z = raw(vector, "K1", "K2", "Z")
    keys = derive((k1, k2, z), (first, second), th, vector["roles"])
    a, b = vector["roles"]
    expected = {
        f"k_{a}>{b}": keys.forward.key,
        f"iv_{a}>{b}": keys.forward.iv,
        f"k_{b}>{a}": keys.backward.key,
        f"iv_{b}>{a}": keys.backward.iv,
        f"kc_{b}": keys.key_confirmation,
    }
    assert {name: value.hex() for name, value in expected.items()} == vector["keys"]


def test_the_schedule_is_the_run_s(replay: Replay) -> None:
    _require_scheduled(replay)


def _require_scheduled(replay: Replay) -> None:
    for step, vector in zip(("D1", "H1-read"), vectors("schedule"), strict=True):
        session, keys, (a, b) = replay.steps[step].keys, vector["keys"], vector["roles"]
        assert session is not None
        assert (session.forward.key.hex(), session.forward.iv.hex()) == (keys[f"k_{a}>{b}"], keys[f"iv_{a}>{b}"])
        assert (session.backward.key.hex(), session.backward.iv.hex()) == (keys[f"k_{b}>{a}"], keys[f"iv_{b}>{a}"])


@named("hpke")
def test_hpke(vector: Json) -> None:
    key = decryption_key(vector)
    assert (key.encryption_key.hex(), key.key_id.hex()) == (vector["encryption_key"], vector["key_id"])
    sealed, info = raw(vector, "sealed", "info")
    if vector["expect"] == "success":
        assert key.open(sealed, info).hex() == vector["plaintext"]
    else:
        with pytest.raises(SealBroken):
            key.open(sealed, info)


@named("statements")
def test_statement(vector: Json) -> None:
    modules = (statement_pb2, directory_pb2, record_pb2, publication_pb2, membership_pb2)
    name = vector["message_type"].rpartition(".")[2]
    kind = next(getattr(module, name) for module in modules if hasattr(module, name))
    statement, signature, key = raw(vector, "statement", "signature", "verifying_key")
    signed = SignedStatement(statement=statement, signature=signature)
    opened = open_statement(vector["label"], kind, signed, VerifyingKey(key))
    assert opened.SerializeToString(deterministic=True) == statement
    assert hashlib.sha256(bytes.fromhex(vector["transcript"])).hexdigest() == vector["digest"]


@named("derived")
def test_derived_value(vector: Json) -> None:
    encoded = transcript(vector["label"], *map(bytes.fromhex, vector["fields"]))
    assert encoded.hex() == vector["transcript"]
    assert _derived(vector, encoded).hex() == vector["value"]


def _derived(vector: Json, encoded: bytes) -> bytes:
    if vector["kind"] == "sha256":
        return hashlib.sha256(encoded).digest()
    if vector["kind"] == "hmac-sha256":
        return spec.hmac.digest(bytes.fromhex(vector["key"]), encoded, "sha256")
    fuzzy, device = raw(vector, "fuzzy_key", "device_secret")
    salted = spec.extract(bytes(32), fuzzy + device)
    return spec.expand(salted, encoded, len(vector["value"]) // 2)


def test_the_biometric_values_are_the_keystore_s() -> None:
    by_name = {vector["name"]: vector for vector in vectors("derived")}
    vector = by_name["biometric password"]
    fuzzy, device = raw(vector, "fuzzy_key", "device_secret")
    keys = FuzzyKey(fuzzy), biometric.DeviceSecret(device)
    password = biometric.biometric_password(*keys, realm="vectors", enrolment_counter=1)
    assert password.value.hex() == vector["value"]
    pin = biometric.token_pin(*keys, realm="vectors")
    assert biometric.base64.b32decode(pin.text).hex() == by_name["token PIN, before base 32"]["value"]


def _labels_of_vectors() -> set[str]:
    labels = {
        vector["label"] for name in ("statements", "derived", "transcript", "agreement") for vector in vectors(name)
    }
    labels |= {vector["label"] for vector in vectors("log") if "label" in vector}
    labels |= {vector["transcript_hash"]["label"] for vector in vectors("schedule")}
    for vector in messages().values():
        labels |= {vector.get("signed", {}).get("label"), vector.get("seal", vector.get("frame", {})).get("name")}
    # cred and shared are `issuing.json`'s, sig is `signatures.json`'s; info and keys are in every seal and schedule.
    return labels | {"cred", "shared", "sig", "hpke", "key"}


def test_every_label_of_the_definitions_and_the_protocol_has_a_vector() -> None:
    sources = [*(ROOT / "protos").rglob("*.proto"), *(ROOT / "federation" / "protocol").glob("*.py")]
    named_in_text = {label for path in sources for label in re.findall(r'\bT\("([A-Za-z0-9-]+)"', path.read_text())}
    labels_of_statements = {
        label for path in sources for label in re.findall(r'[Ll]abel "([a-z0-9]+)"', path.read_text())
    }
    in_code = {
        label
        for path in (ROOT / "federation" / "protocol").glob("*.py")
        for label in re.findall(r'transcript\(\s*"([A-Za-z0-9-]+)"', path.read_text())
    }
    expected = (named_in_text | labels_of_statements | in_code) - {"idx-value"}  # idx-value never leaves the cloud
    assert {"P1", "D1", "grant", "puback", "th2"} <= expected
    assert expected - _labels_of_vectors() == set()


def test_the_files_are_what_the_generator_makes() -> None:
    command = [sys.executable, "-m", "tests.vectors.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
