"""A node's first keys: made here so that an `init` that was cut off can be gone on with, or by a ceremony.

Before the first key a note in the node's directory names the token, in which none of the node's keys was. Whatever of them is
there when `init` runs again was made by it: whole keys are kept, half a pair gives way, the rest is made. No whole key is lost.
A database that was begun is gone on with too (federation/party/database_owner.py); nothing of it is removed.

Keys that a ceremony made are in the token already: its transcript is checked, and the token held against it, before their use.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import safefiles
from federation.party.node_directory import NodeDirectory
from federation.settings import ConfigError
from hsm import Token
from hsm.errors import KeyExists
from keystore.ceremony.errors import ImportRefused
from keystore.ceremony.verify import verify
from keystore.keyring import generate
from keystore.party import IDENTITY, ISSUING, PartyKeys
from keystore.policies import audit

K = TypeVar("K", bound=PartyKeys)

CLOUD_ROOT = "public-cloud-root"
HOSPITAL_ENROLMENT = "hospital-enrolment"

_TLS_CA_CERTIFICATE = "tls_ca_certificate"
_PUBLIC_KEYS = {"verifying_key": IDENTITY, "issuer_public_key": ISSUING}
"""Outputs of ceremonies, PEM, and the purpose of each one's private half."""


def make_keys(directory: NodeDirectory, token: Token, kind: type[K]) -> K:
    """Make a node's keys, those that an attempt before has not made. Raises ConfigError, KeyExists, KeyPolicyViolation."""
    if directory.is_unfinished:
        made = _made_before(directory, token, kind)
    else:
        made = set()
        _require_none(token, kind)
        safefiles.replace(
            directory.unfinished_file, json.dumps({"token": token.label, "serial": token.serial}).encode()
        )
    for purpose in kind.purposes:
        if purpose not in made:
            generate(token, purpose, kind.policies[purpose])
    return kind(token)


def finish(directory: NodeDirectory) -> None:
    """Forget the note: the directory has its settings, and is a node."""
    directory.unfinished_file.unlink(missing_ok=True)


def _require_none(token: Token, kind: type[PartyKeys]) -> None:
    there = [purpose for purpose in kind.purposes if token.has(purpose)]
    if there:
        raise KeyExists(
            f"The token holds {', '.join(there)} already, and nothing here says that we made them. --keys-in-token uses what a"
            " ceremony or a restore left."
        )


def _made_before(directory: NodeDirectory, token: Token, kind: type[PartyKeys]) -> set[str]:
    """Return the purposes whose keys are whole, after half a pair is gone."""
    noted = json.loads(directory.unfinished_file.read_text(encoding="utf-8"))
    if noted["serial"] != token.serial:
        raise ConfigError(
            f"an init in this directory was cut off after it began to make keys in the token {noted['token']!r}, serial"
            f" {noted['serial']}: go on with that token, or make this node in another directory"
        )
    halves = {finding.label for finding in audit(token.objects()) if finding.reason == "HALF_MISSING"}
    for purpose in halves & set(kind.purposes):
        token.destroy(purpose)
    return {purpose for purpose in kind.purposes if token.has(purpose)}


@dataclass(frozen=True)
class CeremonyKeys:
    """What a ceremony's transcript says of the keys that it made."""

    title: str
    outputs: Mapping[str, bytes]

    @property
    def tls_ca(self) -> x509.Certificate | None:
        """Return the TLS CA's certificate, if the ceremony made one."""
        der = self.outputs.get(_TLS_CA_CERTIFICATE)
        return x509.load_der_x509_certificate(der) if der is not None else None

    def require_in(self, token: Token) -> None:
        """Require that a token's keys are those of the ceremony. Raises ConfigError, KeyNotFound."""
        for output, purpose in _PUBLIC_KEYS.items():
            if output in self.outputs:
                public = token.signing(purpose).public_key()
                pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                if pem != self.outputs[output]:
                    raise ConfigError(f"token.uri: the key {purpose!r} in this token is not the one of {self.title!r}")


def read_ceremony(transcript: bytes, kind: str, pinned: Mapping[str, str]) -> CeremonyKeys:
    """Check a transcript of a kind of ceremony. Raises TranscriptInvalid, ImportRefused."""
    if not pinned:
        raise ImportRefused("whose transcript? at least one participant's public key has to be known beforehand")
    verified = verify(transcript, pinned)
    if verified.rehearsal:
        raise ImportRefused("this is the transcript of a rehearsal")
    if verified.kind != kind:
        raise ImportRefused(f"this is the transcript of a ceremony of another kind: {verified.kind}, not {kind}")
    made = (entry.data for entry in verified.entries if entry.event == "output")
    outputs = {str(output["name"]): bytes.fromhex(str(output["content"])) for output in made}
    if "verifying_key" not in outputs:
        raise ImportRefused("the transcript names no identity key: the ceremony was not brought to its end")
    return CeremonyKeys(verified.title, outputs)
