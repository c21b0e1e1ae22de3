"""Rotation of each key, and what becomes of generations at the other ceremonies (docs/adr/0018-rotation.md)."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hsm import open_token, pin_from_value
from keystore.backup import BackupCard, RecoverableKeys, new_seed
from keystore.ceremony.kinds import PARTIES, ROTATIONS, Handover
from keystore.curve import compressed
from keystore.generations import Generations
from keystore.keyring import generate
from keystore.party import CloudKeys
from keystore.policies import PERSON_POLICIES, POLICIES, ROTATABLE, audit
from keystore.x509 import is_signed_by
from tests.ceremony.hall import OFFICERS, Hall
from tests.ceremony.test_refusals import stopped

Halls = Callable[[str], Hall]
CHOICES = [(purpose, choice) for purpose, choices in ROTATIONS.items() for choice in choices]
NAMES = {"realm": "union", "hospital": "H:alpha", "doctor": "D:chen", "authority": "M:beispielland"}


def rotating(
    hall: Halls, rotate: str, certificate: Mapping[str, str], outputs: tuple[str, ...], *, card: bool = False
) -> Hall:
    """Prepare a rotation of one key, written into the example's file."""
    it = hall("rotation")
    purpose, _, number = rotate.partition(".")
    it.change('rotate = "tls-ca"', f'rotate = "{rotate}"')
    it.change('successor = "tls-ca.2"', f'successor = "{purpose}.{int(number or 1) + 1}"')
    names = "".join(f'{name} = "{value}"\n' for name, value in certificate.items())
    it.change('[certificate]\nrealm = "union"\n', f"[certificate]\n{names}" if names else "")
    files = "".join(f'{name} = "{name}"\n' for name in outputs)
    it.change('[outputs]\ntls_ca_certificate = "tls-ca-2.der"\n', f"[outputs]\n{files}" if files else "")
    with open_token(it.token, pin_from_value(it.pin)) as token:
        if rotate not in it.holds:
            generate(token, rotate, (PERSON_POLICIES if card else POLICIES)[purpose])
    return it


def public_in(path: Path) -> EllipticCurvePublicKey:
    """Read the public key of whichever output has it."""
    content = path.read_bytes()
    key: object
    if path.name in {"verifying_key", "issuer_public_key"}:
        key = load_pem_public_key(content)
    elif path.name in {"tls_ca_certificate", "authority_certificate"}:
        key = x509.load_der_x509_certificate(content).public_key()
    else:
        key = x509.load_der_x509_csr(content).public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    return key


def test_every_key_that_rotates_has_its_ceremony() -> None:
    assert set(ROTATIONS) == ROTATABLE


@pytest.mark.parametrize(("purpose", "choice"), CHOICES)
def test_successor_is_the_next_generation_and_its_outputs_are_of_it(
    hall: Halls, purpose: str, choice: Handover
) -> None:
    certificate = {name: NAMES[name] for name in choice.certificate}
    done = rotating(hall, purpose, certificate, choice.outputs, card=choice.card)
    before = done.labels()
    result = done.run()
    assert result.exit_code == 0, result.output
    assert done.labels() - before == {f"{purpose}.2"}
    policy = (PERSON_POLICIES if choice.card else POLICIES)[purpose]
    assert not any(info.violations(policy) for info in done.objects() if info.label == f"{purpose}.2")
    assert done.verify().exit_code == 0
    (recorded,) = [entry.data for entry in done.entries() if entry.event == "key"]
    assert (recorded["label"], recorded["policy"]) == (f"{purpose}.2", purpose)
    if choice.outputs:
        assert compressed(public_in(done.directory / choice.outputs[0])).hex() == recorded["public_key"]


def test_new_authority_key_signs_a_list_of_its_own(hall: Halls) -> None:
    done = rotating(hall, "medical-authority", {"authority": "M:x"}, ("authority_certificate", "first_crl"))
    assert done.run().exit_code == 0
    authority = x509.load_der_x509_certificate((done.directory / "authority_certificate").read_bytes())
    crl = x509.load_der_x509_crl((done.directory / "first_crl").read_bytes())
    assert is_signed_by(crl, authority)


def test_third_generation_follows_the_second(hall: Halls) -> None:
    done = rotating(hall, "sealing.2", {}, ())
    assert done.run().exit_code == 0
    assert done.labels() >= {"sealing.2", "sealing.3"}


def test_inventory_unexpected_if_a_newer_generation_is_there(hall: Halls) -> None:
    it = rotating(hall, "sealing", {}, ())
    with open_token(it.token, pin_from_value(it.pin)) as token:
        generate(token, "sealing.3", POLICIES["sealing"])
    assert "sealing.3" in stopped(it, 1, "INVENTORY_UNEXPECTED")
    assert "sealing.2" not in it.labels()


def test_inventory_unexpected_if_the_key_to_follow_is_not_there(hall: Halls) -> None:
    it = hall("rotation")
    it.change('rotate = "tls-ca"', 'rotate = "tls-ca.2"')
    it.change('successor = "tls-ca.2"', 'successor = "tls-ca.3"')
    assert "tls-ca.2" in stopped(it, 1, "INVENTORY_UNEXPECTED")


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('successor = "tls-ca.2"', 'successor = "tls-ca.3"', "keys.successor"),
        ('successor = "tls-ca.2"', 'successor = "tls-ca-2"', "keys.successor"),
        ('successor = "tls-ca.2"', 'successor = "identity.2"', "keys.successor"),
        ('successor = "tls-ca.2"', 'successor = "tls-ca"', "keys.rotate"),
        ('rotate = "tls-ca"', 'rotate = "tls-ca.1"', "keys.rotate"),
        ('rotate = "tls-ca"', 'rotate = "tls-ca.65535"', "keys.rotate"),
        ('rotate = "tls-ca"', 'rotate = "kem-00"', "keys.rotate"),
        ('realm = "union"\n', "", "realm or hospital"),
        ('realm = "union"', 'realm = "union"\nhospital = "H:x"', "realm or hospital"),
        ('realm = "union"', 'doctor = "D:x"', "realm or hospital"),
        ('[outputs]\ntls_ca_certificate = "tls-ca-2.der"\n', "", "outputs"),
        ("tls_ca_certificate", "verifying_key", "outputs.tls_ca_certificate"),
    ],
)
def test_ceremony_file_invalid_names_what_a_rotation_lacks(hall: Halls, old: str, new: str, names: str) -> None:
    it = hall("rotation")
    it.change(old, new)
    assert names in stopped(it, 2, "CEREMONY_FILE_INVALID")


def test_revoked_generation_is_destroyed_by_its_label(hall: Halls) -> None:
    it = hall("destruction")
    with open_token(it.token, pin_from_value(it.pin)) as token:
        generate(token, "tls-ca.2", POLICIES["tls-ca"])
        generate(token, "tls-ca.3", POLICIES["tls-ca"])
    it.change('destroy = ["tls-ca"]', 'destroy = ["tls-ca", "tls-ca.2"]')
    assert it.run().exit_code == 0
    assert it.labels() == {"identity", "tls-ca.3"}


class Book:
    """Generations that never change."""

    def __init__(self, them: Generations) -> None:
        self.them = them

    def read(self) -> Generations:
        return self.them


def successors_backed_up(hall: Halls, keys: str, party: str = "public-cloud") -> Hall:
    """Prepare a backup of successors, beside a party's first keys."""
    it = hall("backup")
    it.change('party = "public-cloud"', f'party = "{party}"\nkeys = [{keys}]')
    with open_token(it.token, pin_from_value(it.pin)) as token:
        RecoverableKeys.create(token, PARTIES[party], new_seed(token), threshold=2, holders=OFFICERS)
    return it


def test_successors_made_from_a_seed_are_restored_beside_the_first_keys(hall: Halls, tmp_path: Path) -> None:
    """A cloud whose s and index were rotated loses its token: each card gives its generation back, the same keys."""
    made = successors_backed_up(hall, '"issuer.2", "index.2"')
    result = made.run()
    assert result.exit_code == 0, result.output
    assert made.verify().exit_code == 0
    rotated = Generations()
    for purpose in ("issuer", "index"):
        rotated = rotated.prepare(purpose, 10).activate(purpose, 20, 10)
    with open_token(made.token, pin_from_value(made.pin)) as token:
        before = CloudKeys(token, Book(rotated), lambda: 20)
        issuer, row = before.issuing.public_key, before.index.mac(b"row")
        assert audit(token.objects()) == []
    restore = made.file.read_text().replace('kind = "backup"', 'kind = "restore"')
    restore = restore.replace(str(made.token), str(made.dead)).replace("[outputs]\nbackup_card", "[backup_card]\nfile")
    restore = restore.replace('[backup_card]\nfile = "card.json"\n', "").replace(
        "[backup]\n", '[backup]\ncard = "card.json"\n'
    )
    made.write(restore)
    made.transcript.unlink()
    with open_token(made.dead, pin_from_value(made.pin)) as token:
        RecoverableKeys.create(token, PARTIES["public-cloud"], new_seed(token), threshold=2, holders=OFFICERS)
    result = made.run()
    assert result.exit_code == 0, result.output
    card = BackupCard.from_json((made.directory / "card.json").read_text())
    assert [entry.key.generation for entry in card.keys] == [2, 2]
    with open_token(made.dead, pin_from_value(made.pin)) as token:
        after = CloudKeys(token, Book(rotated), lambda: 20)
        assert (after.issuing.public_key, after.index.mac(b"row")) == (issuer, row)
        assert audit(token.objects()) == []


def test_inventory_unexpected_if_a_successor_from_a_seed_skips_a_generation(hall: Halls) -> None:
    assert "issuer.2" in stopped(successors_backed_up(hall, '"issuer.3"'), 1, "INVENTORY_UNEXPECTED")


@pytest.mark.parametrize(
    "keys", ['"issuer"', '"issuer.02"', '"records.2"', '"issuer.2", "issuer.3"', '"medical-authority.2"', '"other"']
)
def test_ceremony_file_invalid_if_a_backup_names_no_successors_of_the_party(hall: Halls, keys: str) -> None:
    assert "backup.keys" in stopped(successors_backed_up(hall, keys), 2, "CEREMONY_FILE_INVALID")


def test_hospital_signers_are_in_no_backup(hall: Halls) -> None:
    it = successors_backed_up(hall, '"records.2", "identity.2"', "hospital")
    assert "backup.keys" in stopped(it, 2, "CEREMONY_FILE_INVALID")
