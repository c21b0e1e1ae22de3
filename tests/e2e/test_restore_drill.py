"""The restore drill: a token dies, shares and card bring its keys back, and the federation goes on as if nothing had been.

A public cloud over TLS with real tokens, and a hospital that serves records. What does not come back is said too: the
encryption keys of epochs, and a hospital's S_X, so that it registers again.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from demo.stage import environment
from federation.authority.node import found_authority, open_authority
from federation.clock import system_clock, system_entropy
from federation.cloud.node import Founding, found, open_public_cloud
from federation.hospital.importing import RecordFiles, import_record
from federation.hospital.node import HospitalNode, init_hospital
from federation.party.node_directory import NodeDirectory
from federation.party.registration import register
from federation.settings import CloudSettings, HospitalSettings, TokenSettings
from federation.v1.statement_pb2 import ROLE_HOSPITAL, ROLE_PATIENT
from hsm import Pin, PinProvider, Token, TokenUri, open_token, pin_from_value
from hsm.errors import TokenNotFound
from hsm.softhsm import SoftHsm
from keystore.backup import (
    CLOUD,
    CLOUD_SIGNERS,
    HOSPITAL,
    BackupCard,
    RecoverableKeys,
    generate_signers,
    new_seed,
)
from keystore.errors import CorruptShare, DuplicateShare, KeystoreError, MixedShares, TooFewShares
from keystore.party import CloudKeys, HospitalKeys
from keystore.quorum import Share, pin_from_shares, split_pin
from tests.conftest import USER_PIN
from tests.e2e.cloud_lab import CLOUD as CLOUD_ID
from tests.e2e.cloud_lab import CloudLab, _served, free_port, question_of
from tests.hospital_lab import JOHNNIE, HospitalLab
from tests.simulator import Federation

HOLDERS = ("O:ada", "O:ben", "O:cho")
Tokens = Callable[..., TokenUri]


def destroy_token(softhsm: SoftHsm, uri: TokenUri) -> None:
    """What a dead HSM comes to: the token's files are gone."""
    token = next(
        path
        for path in (softhsm.configuration.parent / "tokens").iterdir()
        if uri.token.encode() in path.joinpath("token.object").read_bytes()
    )
    shutil.rmtree(token)


@dataclass
class Login:
    """A PIN provider that notes that it was asked: no login goes by without."""

    asked: int = 0

    def __call__(self) -> Pin:
        self.asked += 1
        return Pin(USER_PIN)


@dataclass
class Officers:
    """Who keep the shares: on paper, so as text."""

    papers: list[str] = field(default_factory=list)
    card: str = ""

    def take(self, made: RecoverableKeys) -> None:
        self.papers = [share.text() for share in made.shares]
        self.card = made.card.to_json()

    def bring(self, *numbers: int) -> list[Share]:
        return [Share.parse(self.papers[number]) for number in numbers]

    def restore(self, uri: TokenUri, *numbers: int, login: PinProvider | None = None) -> Token:
        return RecoverableKeys.restore(
            lambda: open_token(uri, login or pin_from_value(USER_PIN)),
            self.bring(*numbers),
            BackupCard.from_json(self.card),
        )


def recoverable_cloud(token: Token, officers: Officers) -> CloudKeys:
    keys = (*CLOUD, *CLOUD_SIGNERS)
    officers.take(RecoverableKeys.create(token, keys, new_seed(token), threshold=2, holders=HOLDERS))
    return CloudKeys(token)


def recoverable_hospital(token: Token, officers: Officers) -> HospitalKeys:
    officers.take(RecoverableKeys.create(token, HOSPITAL, new_seed(token), threshold=2, holders=HOLDERS))
    generate_signers(token)
    return HospitalKeys(token)


@dataclass
class Drill:
    """A cloud that can lose its token, and an authority; parties live on over the loss."""

    directory: Path
    tokens: Tokens
    parties: ExitStack
    pin: PinProvider = field(default_factory=lambda: pin_from_value(USER_PIN))
    officers: Officers = field(default_factory=Officers)

    def __post_init__(self) -> None:
        self.cloud, self.board = NodeDirectory(self.directory / "cloud"), NodeDirectory(self.directory / "board")
        self.cloud_uri = self.tokens("cloud")
        public, peer = (f"127.0.0.1:{free_port()}" for _ in range(2))
        found(
            self.cloud,
            Founding(CLOUD_ID, "test", public, peer, public, peer),
            TokenSettings(str(self.cloud_uri)),
            self.pin,
            lambda token: recoverable_cloud(token, self.officers),
        )
        certificate = found_authority(self.board, "M:board", TokenSettings(str(self.tokens("board"))), self.pin)
        with open_authority(self.board, self.pin) as authority, open_public_cloud(self.cloud, self.pin) as node:
            node.add_authority(certificate, ["D:*"])
            node.put_crl(authority.crl())

    @contextmanager
    def serving(self) -> Iterator[CloudLab]:
        """The cloud, served for the block from whatever token its settings name."""
        with open_authority(self.board, self.pin) as authority, open_public_cloud(self.cloud, self.pin) as node:
            lab = CloudLab(node, authority, self.directory, self.tokens, self.pin, closing=self.parties)
            with _served(lab):
                yield lab

    def move_to(self, uri: TokenUri) -> None:
        """What an operator does after a restore: name the new token in medunion.toml, and nothing else."""
        self.cloud.write_settings(replace(self.cloud.settings(CloudSettings), token=TokenSettings(str(uri))))


@pytest.fixture
def parties() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_cloud_whose_token_died_goes_on_from_shares(
    softhsm: SoftHsm, make_token_uri: Tokens, tmp_path: Path, parties: ExitStack
) -> None:
    drill = Drill(tmp_path, make_token_uri, parties)
    with drill.serving() as lab:
        hospital = lab.hospital("H:north", "127.0.0.1:4711")
        patient, doctor = lab.patient("P:ann", hospital), lab.doctor("D:ben")
        grant = lab.grant(patient, doctor)
        published = lab.publish(hospital, "P:ann", "cardiology")
        trust, entries = lab.node.trust(), lab.node.cloud.audit.verify()

    destroy_token(softhsm, drill.cloud_uri)
    with pytest.raises(TokenNotFound):
        open_token(drill.cloud_uri, drill.pin)
    restored = make_token_uri("cloud")
    drill.officers.restore(restored, 2, 0).close()
    drill.move_to(restored)

    with drill.serving() as lab:
        # The same PK, PUK_C and TLS CA: nobody pins anything anew.
        assert lab.node.trust() == trust
        assert lab.node.cloud.keys.issuing.public_key == trust.content.issuers[0].verifying_key
        # Old registrations stand: KS_X, and eq. 4, 7, 10 for the S_X in each party's token.
        for member in (hospital[0], patient, doctor):
            member.party(system_clock()).registration_secret.require_consistent()
        # A search needs K_D, which the cloud unseals, and the rows of the index, found and unsealed.
        answer = lab.client().search(doctor, question_of(patient, grant))
        assert [(place.hospital.identity, place.handle) for place in answer.locations] == [
            ("H:north", published.handle)
        ]
        # What was sealed in the audit log opens, and its chain goes on.
        assert lab.node.cloud.audit.verify() > entries
        assert [it.event.asker_id for _, it in lab.node.cloud.audit.accesses_of("P:ann", limit=32)] == ["D:ben"]
        # New registrations are issued, and old and new parties deal with each other.
        newcomer = lab.patient("P:new", hospital)
        lab.publish(hospital, "P:new", "cardiology")
        again = lab.client().search(doctor, lab.question(newcomer, doctor))
        assert len(again.locations) == 1


def test_a_hospital_whose_token_died_registers_again_and_goes_on(
    softhsm: SoftHsm, make_token_uri: Tokens, tmp_path: Path, parties: ExitStack
) -> None:
    drill, ward, died = (
        Drill(tmp_path, make_token_uri, parties),
        NodeDirectory(tmp_path / "ward"),
        make_token_uri("ward"),
    )
    officers = Officers()
    address = f"127.0.0.1:{free_port()}"
    settings = HospitalSettings("H:ward", address, address, TokenSettings(str(died)), ("cardiology",))
    with drill.serving() as lab:
        init_hospital(ward, settings, lab.node.trust(), drill.pin, lambda token: recoverable_hospital(token, officers))
        with HospitalNode(ward, drill.pin) as node:
            node.register(b"licence", lab.node.invite("H:ward")[0])
            patient = lab.member("P:ann")
            register(patient, lab.client(), ROLE_PATIENT, bytes(32), node.issue_ticket("P:ann").ticket)
            handle = import_record(
                node.hospital, RecordFiles("P:ann", "H:ward/cardiology", JOHNNIE, ()), lambda _: None
            )
            assert node.outbox.publish_due() == 1

        destroy_token(softhsm, died)
        restored = make_token_uri("ward")
        with officers.restore(restored, 0, 2) as token:
            generate_signers(token)
        ward.write_settings(replace(settings, token=TokenSettings(str(restored))))
        lab.node.revoke("H:ward")

        doctor = lab.doctor("D:ben")
        with HospitalNode(ward, drill.pin) as node:
            assert not node.member.is_registered
            node.register(b"licence", lab.node.invite("H:ward")[0])
            assert node.member.is_registered
            (record,) = node.hospital.stores.records.all()
            assert b"".join(node.hospital.vault.read(record)) == JOHNNIE.read_bytes()
            assert node.hospital.audit.verify() > 0
            node.issue_ticket("P:bea")  # by mutual TLS under the new identity CA
            grant = lab.grant(patient, doctor)
            answer = lab.client().search(doctor, question_of(patient, grant))
            assert [(place.hospital.identity, place.handle) for place in answer.locations] == [("H:ward", handle)]


@pytest.fixture(scope="module")
def officers(make_token_uri: Tokens) -> Officers:
    """The officers of a cloud whose token is gone."""
    officers = Officers()
    with open_token(make_token_uri("cloud"), pin_from_value(USER_PIN)) as token:
        recoverable_cloud(token, officers)
    return officers


def exchange_a_word(paper: str) -> str:
    words = paper.split()
    words[-5] = "academic" if words[-5] != "academic" else "acid"
    return " ".join(words)


def foreign(make_token_uri: Tokens) -> Officers:
    others = Officers()
    with open_token(make_token_uri("other"), pin_from_value(USER_PIN)) as token:
        recoverable_cloud(token, others)
    return others


@pytest.mark.parametrize(
    ("refused", "papers"),
    [
        (TooFewShares, lambda ours, others: ours[:1]),
        (TooFewShares, lambda ours, others: ours[2:]),
        (DuplicateShare, lambda ours, others: [ours[1], ours[1]]),
        (CorruptShare, lambda ours, others: [ours[0], exchange_a_word(ours[1])]),
        (MixedShares, lambda ours, others: [ours[0], others[1]]),
        (MixedShares, lambda ours, others: others[:2]),
    ],
)
def test_bad_shares_are_refused_before_the_token_is_touched(
    officers: Officers, make_token_uri: Tokens, refused: type[KeystoreError], papers: Callable[..., list[str]]
) -> None:
    login = Login()
    brought = Officers(papers(officers.papers, foreign(make_token_uri).papers), officers.card)
    with pytest.raises(refused):
        brought.restore(make_token_uri("restored"), *range(len(brought.papers)), login=login)
    assert login.asked == 0


def test_good_shares_after_bad_ones_restore(officers: Officers, make_token_uri: Tokens) -> None:
    login = Login()
    with officers.restore(make_token_uri("restored"), 0, 1, 2, login=login) as token:
        BackupCard.from_json(officers.card).verify(token)
    assert login.asked == 1


def test_a_token_restored_by_quorum_is_unlocked_by_quorum(officers: Officers, make_token_uri: Tokens) -> None:
    uri = make_token_uri("restored")
    officers.restore(uri, 1, 2).close()
    shares = split_pin(Pin(USER_PIN), threshold=2, holders=HOLDERS)
    with open_token(uri, pin_from_shares(shares[:2], splitting=shares[0].splitting)) as token:
        assert CloudKeys(token).issuing.public_key == BackupCard.from_json(officers.card).keys[0].check


class RecoverableFederation(Federation):
    """The simulated federation, with H:alpha's record keys in a backup."""

    def __init__(self, make_token: Callable[[str], Token], entropy: Callable[[int], bytes]) -> None:
        self.officers = Officers()
        super().__init__(make_token, entropy)

    def new_hospital(self, hospital_id: str):
        if hospital_id != "H:alpha":
            return super().new_hospital(hospital_id)
        return self.enrol(recoverable_hospital(self.make_token("hospital"), self.officers))

    def enrol(self, keys: HospitalKeys):
        """Register H:alpha with these keys; a second time after a restore, since its S_X died with its token."""
        member = self.new_member("H:alpha", keys)
        self.cloud.register(member, ROLE_HOSPITAL, b"licence of H:alpha")
        return member


def test_a_hospital_whose_token_died_reads_its_records_again(
    make_token: Callable[[str], Token], make_token_uri: Tokens, softhsm: SoftHsm, tmp_path: Path
) -> None:
    federation = RecoverableFederation(make_token, system_entropy)
    with HospitalLab(federation, tmp_path) as lab:
        handle = lab.import_files()
        died = lab.keys.token
    died.close()
    destroy_token(softhsm, TokenUri(module_path=make_token_uri("x").module_path, token=died.label))

    with federation.officers.restore(make_token_uri("hospital"), 1, 2) as token:
        generate_signers(token)
        federation.hospital_a = federation.enrol(HospitalKeys(token))
        with HospitalLab(federation, tmp_path) as lab:
            (record,) = lab.hospital.stores.records.all()
            assert record.handle == handle
            assert record.patient_key == lab.hospital.vault.patient_key("P:wang")
            expected = b"".join(lab.hospital.vault.read(record))
            with lab.serving() as client:
                content, _ = client.read(federation.intent(federation.grant()))
            assert content.endswith(expected)
            assert expected == JOHNNIE.read_bytes()


def test_the_run_through_in_the_documentation_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ceremonies" / "backup.md").read_text()
    script = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.endswith("the same PK: True\n")
