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
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.protobuf.message import Message

from federation.errors import FederationError
from federation.protocol import frames
from federation.protocol.handshake import derive
from federation.protocol.parsing import parse
from federation.protocol.registration import LiveRegistration, Registered
from federation.protocol.statements import open_statement
from federation.v1 import directory_pb2, membership_pb2, publication_pb2, record_pb2, statement_pb2
from federation.v1.registration_pb2 import RegistrationRequest
from federation.v1.statement_pb2 import SignedStatement
from hsm import Token
from keystore import biometric, group
from keystore.errors import InvalidPoint
from keystore.fuzzy import FuzzyKey
from keystore.issuing import IssuingKey, check_issued
from keystore.registration_secret import RegistrationSecret, token_form
from keystore.transcript import transcript
from tests.vectors import bundles, certificates, scenario, spec
from tests.vectors.describe import describe, plaintext_of
from tests.vectors.generate import PHASES, ROLES
from tests.vectors.kept import FILES, named, raw, vectors
from tests.vectors.replay import outcome
from tests.vectors.software import Cast, Json, Stream, decryption_key
from tests.vectors.world import Step, register

ROOT = Path(__file__).parents[2]
KeyOf = Callable[[str, Registered, Cast], X25519PrivateKey | None]


def in_software(name: str, registered: Registered, cast: Cast) -> X25519PrivateKey | None:
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
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(vector["signed"]["verifying_key"]))
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


def test_the_live_key_signed_the_renewal() -> None:
    by_name = {vector["name"]: vector for vector in vectors("derived")}
    covered = by_name["what the live key of a renewal signs"]["transcript"]
    request = RegistrationRequest.FromString(bytes.fromhex(messages()["reg1-hospital-again"]["plaintext"]))
    live = Cast(FILES["parties"]).applicant("hospital").signing_key.public_key()
    live.verify(request.current_signature, bytes.fromhex(covered))


@named("refusals")
def test_every_refusal_replays(replay: Replay, vector: Json) -> None:
    assert outcome(replay.steps[vector["base"]], vector) == (vector["expect"], vector["wire"])


def test_a_token_gives_the_same_session_keys_for_the_imported_secret(make_token: Callable[[str], Token]) -> None:
    """S_X fixed, imported into a real token: the whole run yields the recorded bytes, so the same keys."""

    def in_token(name: str, registered: Registered, cast: Cast) -> X25519PrivateKey | None:
        form = token_form(bytes(registered.registration_secret))
        public = group.u_coordinate(registered.party.public_point)
        return make_token(name).import_x25519("registration-secret", form, public)

    replay = Replay(messages(), in_token)
    replay.run()
    _require_scheduled(replay)


@named("transcript")
def test_transcript(vector: Json) -> None:
    fields = [bytes.fromhex(value) for value in vector["fields"]]
    assert transcript(vector["label"], *fields).hex() == vector["transcript"]
    assert hashlib.sha256(bytes.fromhex(vector["transcript"])).hexdigest() == vector["sha256"]


@named("points")
def test_point(vector: Json) -> None:
    point = bytes.fromhex(vector["point"])
    accepted = vector["expect"] == "success"
    assert spec.may_be_received(point) == accepted
    if accepted:
        assert group.require_received_point(point) == point
    else:
        with pytest.raises(InvalidPoint) as refused:
            group.require_received_point(point)
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


@named("issuing")
def test_issuing(vector: Json) -> None:
    seed, credential, secret, public = raw(vector, "issuing_seed", "credential", "registration_secret", "public_point")
    key = IssuingKey(Ed25519PrivateKey.from_private_bytes(seed))
    issued = key.issue(credential)
    assert key.public_key.hex() == vector["issuer_public_key"]
    assert (issued.registration_point.hex(), bytes(issued.registration_secret)) == (
        vector["registration_point"],
        secret,
    )
    assert check_issued(key.public_key, credential, issued.registration_point + secret) == public
    message = bytes.fromhex(vector["transcript"])
    scalar = group.challenge_scalar(issued.registration_point, key.public_key, message)
    assert scalar.hex() == vector["challenge_scalar"]
    assert token_form(secret).hex() == vector["token_form"]
    shared = issued.shared_key(key.public_key, vector["identity"], bytes.fromhex(vector["serial"]))
    assert shared.hex() == vector["shared_key"]


@named("full_point")
def test_full_point(vector: Json) -> None:
    form, public, point = raw(vector, "token_form", "public_point", "point")
    secret = RegistrationSecret(X25519PrivateKey.from_private_bytes(form), public)
    assert secret.agree(point).hex() == vector["result"]
    assert group.multiply(bytes.fromhex(vector["registration_secret"]), point).hex() == vector["result"]


@named("schedule")
def test_key_schedule(vector: Json) -> None:
    hashed = vector["transcript_hash"]
    encoded = transcript(hashed["label"], *map(bytes.fromhex, hashed["fields"]))
    th = hashlib.sha256(encoded).digest()
    assert th.hex() == hashed["value"]
    first, second = map(bytes.fromhex, vector["contributions"])
    keys = derive((bytes.fromhex(vector["K"]), bytes.fromhex(vector["Z"])), (first, second), th, vector["roles"])
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
    sealed, info, plaintext = raw(vector, "sealed", "info", "plaintext")
    assert key.open(sealed, info) == plaintext


@named("statements")
def test_statement(vector: Json) -> None:
    modules = (statement_pb2, directory_pb2, record_pb2, publication_pb2, membership_pb2)
    name = vector["message_type"].rpartition(".")[2]
    kind = next(getattr(module, name) for module in modules if hasattr(module, name))
    statement, signature, key = raw(vector, "statement", "signature", "verifying_key")
    signed = SignedStatement(statement=statement, signature=signature)
    opened = open_statement(vector["label"], kind, signed, Ed25519PublicKey.from_public_bytes(key))
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
    labels = {vector["label"] for name in ("statements", "derived", "transcript") for vector in vectors(name)}
    labels |= {vector["transcript_hash"]["label"] for vector in vectors("schedule")}
    for vector in messages().values():
        labels |= {vector.get("signed", {}).get("label"), vector.get("seal", vector.get("frame", {})).get("name")}
    # h and s are `issuing.json`'s, K_X too; info and keys are in every seal and schedule.
    return labels | {"cred", "shared", "hpke", "key"}


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
