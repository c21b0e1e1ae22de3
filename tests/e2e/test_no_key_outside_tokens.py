"""After a visit: what every token holds, and that nothing which is a key is anywhere else on anybody's disk."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from demo.stage import CONSENT, Federation, environment, federation, run
from federation.party.node_directory import read_trust
from keystore.curve import ORDER, point_over, private_key, public_point, x_of
from keystore.issuing import IssuingKey
from tests.keys import new_key

DATA = Path(__file__).parents[1] / "data"
ROOT = Path(__file__).parents[2]
PARTIES = ("cloud", "authority", "a", "b", "house", "johnnie")
# What a private key looks like in PEM, PKCS#8 (RFC 5958) of P-256 with and without its public half, and SEC 1.
PRIVATE_KEY_FORMS = (
    b"PRIVATE KEY",
    bytes.fromhex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d"),
    bytes.fromhex("3041020100301306072a8648ce3d020106082a8648ce3d0301070427"),
    bytes.fromhex("30770201010420"),
)

pytestmark = pytest.mark.timeout(300)


@dataclass
class Aftermath:
    """A federation after a visit, everybody stopped; what each token told."""

    root: Path
    told: dict[str, dict[str, object]]

    def files(self) -> Iterator[Path]:
        """Yield every file that is not a token's own, a PIN or the secret that stands for a secure element."""
        for path in sorted(self.root.rglob("*")):
            outside_tokens = "tokens" not in path.relative_to(self.root).parts
            if (
                path.is_file()
                and outside_tokens
                and path.suffix not in {".pin", ".secret", ".person"}
                and path.name != "pin"
            ):
                yield path


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    root = tmp_path_factory.mktemp("aftermath")
    with federation(root) as made:
        visit(made)
    return Aftermath(root, {party: tell(root / party) for party in PARTIES})


def visit(made: Federation) -> None:
    doctor, patient = made.add_doctor("house"), made.add_patient("johnnie", "a")
    run(
        *("hospital", "import", "--directory", made.root / "a", "--patient", "P:johnnie"),
        *("--department", "cardiology", DATA / "synthea-johnnie679.json"),
    )
    running, code = made.consult(doctor, "b", "visit", "--department", "cardiology", "--conclusion", "Well.")
    run("patient", "visit", "--directory", patient, code, "--ecg", DATA / "waveform_ecg.dcm", *CONSENT)
    running.wait()


def tell(directory: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.open_secrets", str(directory)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("party", PARTIES)
def test_every_private_key_and_secret_is_sensitive_and_not_extractable(aftermath: Aftermath, party: str) -> None:
    objects = aftermath.told[party]["objects"]
    secrets = [entry for entry in objects if entry["object_class"] in {"PRIVATE_KEY", "SECRET_KEY"}]
    assert secrets, "a party without keys took no part"
    for entry in secrets:
        assert entry["sensitive"] is True, entry
        assert entry["extractable"] is False, entry
        assert entry["private"] is True, entry


@pytest.mark.parametrize("party", ["a", "b", "house", "johnnie"])
def test_every_member_has_its_registration_secret_in_its_token(aftermath: Aftermath, party: str) -> None:
    labels = [entry["label"] for entry in aftermath.told[party]["objects"] if entry["object_class"] == "PRIVATE_KEY"]
    assert len([label for label in labels if label.startswith("registration-secret-")]) == 1


def test_no_object_is_left_that_no_purpose_names(aftermath: Aftermath) -> None:
    purposes = re.compile(
        r"identity|sealing|index|issuer|tls-ca|records|medical-authority|(ml)?kem-.+|registration-secret-.+"
    )
    for party, told in aftermath.told.items():
        for entry in told["objects"]:
            assert purposes.fullmatch(entry["label"]), f"{party} holds {entry['label']!r}"


def test_no_file_holds_a_private_key_in_a_form_that_keys_have(aftermath: Aftermath) -> None:
    for path in aftermath.files():
        content = path.read_bytes()
        for form in PRIVATE_KEY_FORMS:
            assert form not in content, f"{path.relative_to(aftermath.root)} holds a private key"


def test_no_file_holds_what_a_token_sealed(aftermath: Aftermath) -> None:
    sealed = [bytes.fromhex(secret) for told in aftermath.told.values() for secret in told["sealed"]]
    assert len(sealed) > 5, "seeds of every member and keys of two records"
    for path in aftermath.files():
        content = path.read_bytes()
        for secret in sealed:
            forms = secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")
            assert not any(form in content for form in forms), f"{path.relative_to(aftermath.root)} holds a sealed key"


def test_no_database_holds_a_registration_secret(aftermath: Aftermath) -> None:
    """Try every 32 bytes of every store as S_X of every member."""
    issuer = read_trust(aftermath.root / "trust.json").content.issuers[0].verifying_key
    members = [Registration.of(told["statement"], issuer) for told in aftermath.told.values() if told["statement"]]
    assert len(members) == 4
    candidates = set()
    for path in aftermath.files():
        if path.name.startswith("store.sqlite") or path.suffix in {".toml", ".json", ".trace", ".log"}:
            candidates |= random_looking_windows(path.read_bytes())
    assert len(candidates) > 10_000
    assert not [window for window in candidates if secret_of_any(members, window)]


def test_the_search_for_a_registration_secret_would_find_one() -> None:
    """The search above can fail: it finds a scalar and its negative among other bytes."""
    issuer = IssuingKey(new_key())
    issued = issuer.issue(b"credential")
    member = Registration(issued.registration_point, issuer.public_key, b"credential")
    secret = bytes(issued.registration_secret)
    negative = (ORDER - int.from_bytes(secret, "big")).to_bytes(32, "big")
    windows = random_looking_windows(b"x" * 50 + secret + negative + b"y" * 50)
    assert {window for window in windows if secret_of_any([member], window)} == {secret, negative}


PRINTABLE = bytes(range(32, 127))


@dataclass
class Registration:
    """What is public of a member's registration, which tells its secret from anything else."""

    point: bytes
    issuer: bytes
    credential: bytes

    @classmethod
    def of(cls, statement: dict[str, str], issuer: bytes) -> "Registration":
        return cls(bytes.fromhex(statement["registration_point"]), issuer, bytes.fromhex(statement["credential"]))

    @cached_property
    def keys(self) -> tuple[ec.EllipticCurvePublicKey, bytes]:
        """Return R_X, and U_X's x-coordinate: the same for every candidate."""
        return point_over(self.point), x_of(public_point(self.point, self.issuer, self.credential))

    def is_of(self, key: ec.EllipticCurvePrivateKey) -> bool:
        """Eq. 4, 7, 10: S_X R = +-U_X."""
        registration_point, x = self.keys
        return key.exchange(ec.ECDH(), registration_point) == x


def secret_of_any(members: list[Registration], window: bytes) -> bool:
    if not 0 < int.from_bytes(window, "big") < ORDER:
        return False
    key = private_key(window)
    return any(member.is_of(key) for member in members)


def random_looking_windows(content: bytes) -> set[bytes]:
    """Return every 32 bytes that could be a random secret.

    Of 32 uniform bytes, fewer than 22 values come once in 10^7, and 26 printable ones four times: that is text, base64 too.
    """
    windows = {content[start : start + 32] for start in range(len(content) - 31)}
    return {window for window in windows if len(set(window)) >= 22 and len(window.translate(None, PRINTABLE)) > 6}
