"""A hall to hold ceremonies in: the examples of the documentation on real SoftHSM tokens, with an answers file for people."""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding

from demo.stage import run
from federation.cli.main import main
from hsm import ObjectInfo, Pin, TokenUri, open_token, pin_from_value
from keystore.backup import RecoverableKeys, new_seed
from keystore.ceremony.kinds import KINDS, PARTIES
from keystore.ceremony.transcript import Entry, parse
from keystore.curve import compressed
from keystore.keyring import generate
from keystore.policies import POLICIES
from keystore.quorum import split_pin
from keystore.x509 import RevokedCertificate, create_authority, issue_crl

EXAMPLES = Path(__file__).parents[2] / "docs" / "ceremonies" / "examples"
NAMES = ("Ada", "Olga", "Omar", "Otto", "Wanda", "Wim")
OFFICERS = ("Olga", "Omar", "Otto")
MakeUri = Callable[..., TokenUri]


@dataclass
class People:
    """Participants' tokens, and the medical authority's, made once."""

    tokens: dict[str, TokenUri]
    keys: dict[str, str]
    authority: TokenUri
    certificate: bytes
    crl: bytes
    pin: str


def gather(make_uri: MakeUri, pin: str) -> People:
    """Make everybody's token and key."""
    tokens, keys = {}, {}
    for name in NAMES:
        tokens[name] = make_uri(name)
        with open_token(tokens[name], pin_from_value(pin)) as token:
            keys[name] = compressed(token.generate_signing("ceremony").public_key()).hex()
    uri = make_uri("authority")
    with open_token(uri, pin_from_value(pin)) as token:
        key, now = token.generate_signing("medical-authority"), datetime.now(UTC)
        certificate = create_authority(key, "M:beispielland", now=now)
        crl = issue_crl(certificate, key, [RevokedCertificate(7, now)], 41, now=now)
    return People(tokens, keys, uri, certificate.public_bytes(Encoding.DER), crl.public_bytes(Encoding.DER), pin)


def rehearse(file: Path, transcript: Path) -> str:
    """Rehearse a ceremony's file with answers in people's place, and return what was said.

    In a process of its own: a rehearsal brings a SoftHSM, and a process stays with one.
    """
    answers, shares = transcript.with_name("rehearsal.toml"), transcript.with_name("rehearsed")
    shares.mkdir()
    answers.write_text(f'default = "Yes"\nshares = "{shares.name}"\n')
    return run("ceremony", "run", file, "--rehearsal", "--answers", answers, "--output", transcript)


@dataclass
class Hall:
    """One ceremony: its file, answers, shares and token in a directory of its own."""

    directory: Path
    people: People
    token: TokenUri
    dead: TokenUri
    pin: str
    kind: str
    answers: dict[str, str | list[str]] = field(default_factory=dict)
    pins: dict[str, str | list[str]] = field(default_factory=dict)
    default: str | None = "Yes"
    lost: str = ""
    holds: tuple[str, ...] = ("tls-ca", "identity")

    def __post_init__(self) -> None:
        self.file = self.directory / f"{self.kind}.toml"
        self.transcript = self.directory / "transcript"
        self.shares = self.directory / "shares"
        self.shares.mkdir()
        self.write(self.real(self.example()))
        given = {"pin": self.pin.encode()}
        if KINDS[self.kind].issuer:
            given |= {"authority.der": self.people.certificate, "newest.crl": self.people.crl}
        for name, content in given.items():
            (self.directory / name).write_bytes(content)
            (self.directory / name).chmod(0o600)
        self._prepare_token()

    def example(self) -> str:
        return (EXAMPLES / f"{self.kind}.toml").read_text()

    def real(self, text: str) -> str:
        """Put the real tokens and keys in the places of the example's."""
        for name in NAMES:
            text = re.sub(rf"pkcs11:token={name.lower()};[^\"]*", str(self.people.tokens[name]), text)
            text = re.sub(
                rf'(\[participants\.{name}\]\n.*\npublic_key = )"[0-9a-f]*"', rf'\1"{self.people.keys[name]}"', text
            )
        text = re.sub(r'(\[issuer\]\ntoken = )"[^"]*"', rf'\1"{self.people.authority}"', text)
        text = re.sub(r"(\ntwins = )\[[^\]]*\]", rf'\1["{self.dead}"]', text)
        return re.sub(r'(\[token\]\nuri = )"[^"]*"', rf'\1"{self.token}"', text)

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def change(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.write(text.replace(old, new, 1))

    def run(self, *options: str, words: tuple[str, ...] = ("run",)) -> Result:
        """Type `medunion ceremony run`."""
        names = (*NAMES, "token", "twin-1", "issuer")
        pins = "".join(f"{name} = {json.dumps(self.pins.get(name, 'pin'))}\n" for name in names)
        answers = "".join(f'"{prompt}" = {json.dumps(answer)}\n' for prompt, answer in self.answers.items())
        default = f'default = "{self.default}"\n' if self.default else ""
        path = self.directory / "answers.toml"
        path.write_text(f'{default}shares = "shares"\n[answers]\n{answers}[pins]\n{pins}')
        given = ["ceremony", *words, str(self.file), "--answers", str(path), "--output", str(self.transcript)]
        return CliRunner().invoke(main, [*given, *options])

    def verify(self, *options: str) -> Result:
        return CliRunner().invoke(main, ["ceremony", "verify", str(self.transcript), *options])

    def put(self, name: str, content: str) -> None:
        """Write a private file beside the ceremony's."""
        (self.directory / name).write_text(content)
        (self.directory / name).chmod(0o600)

    def stop_at(self, prompt: str, why: str) -> None:
        """Have somebody stop the ceremony at a prompt."""
        self.answers[prompt], self.answers[f"{prompt}.why"] = "stop", why

    def entries(self) -> list[Entry]:
        return parse(self.transcript.read_bytes())

    def last(self) -> Entry:
        return self.entries()[-1]

    def objects(self, pin: str | None = None, *, uri: TokenUri | None = None) -> list[ObjectInfo]:
        with open_token(uri or self.token, pin_from_value(pin or self.pin)) as token:
            return token.objects()

    def labels(self, pin: str | None = None) -> set[str]:
        return {info.label for info in self.objects(pin)}

    @property
    def state(self) -> Path:
        return self.transcript.with_name("transcript.state")

    def _prepare_token(self) -> None:
        """Give a token whose keys are to be rotated or destroyed those keys, and a PIN in shares."""
        if self.kind == "restore":
            self._prepare_backup()
        if KINDS[self.kind].chooses is None:
            return
        new = secrets.token_hex(16)
        with open_token(self.token, pin_from_value(self.pin)) as token:
            for purpose in self.holds:
                generate(token, purpose, POLICIES[purpose])
            token.change_pin(Pin(self.pin), Pin(new))
        self.pin = new
        for share in split_pin(Pin(new), threshold=2, holders=OFFICERS):
            (self.shares / f"{share.holder}.share").write_text(share.text())

    def _prepare_backup(self) -> None:
        """Give a restore the card and the shares of a token that is no more."""
        with open_token(self.dead, pin_from_value(self.pin)) as token:
            made = RecoverableKeys.create(
                token, PARTIES["public-cloud"], new_seed(token), threshold=2, holders=OFFICERS
            )
            self.lost = compressed(token.signing("issuer", POLICIES["issuer"]).public_key()).hex()
        (self.directory / "card.json").write_text(made.card.to_json())
        for share in made.shares:
            (self.shares / f"{share.holder}.share").write_text(share.text())
