"""The keys that a ceremony made in a node's token: the transcript is checked, and the token held against it, before their use."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from federation.settings import ConfigError
from hsm import Token
from keystore.ceremony.errors import ImportRefused
from keystore.ceremony.verify import verify
from keystore.party import IDENTITY, ISSUING

CLOUD_ROOT = "public-cloud-root"
HOSPITAL_ENROLMENT = "hospital-enrolment"

_TLS_CA_CERTIFICATE = "tls_ca_certificate"
_PUBLIC_KEYS = {"verifying_key": IDENTITY, "issuer_public_key": ISSUING}
"""Outputs of ceremonies, PEM, and the purpose of each one's private half."""


@dataclass(frozen=True)
class CeremonyKeys:
    """What a ceremony's transcript says of the keys that it made."""

    title: str
    outputs: Mapping[str, bytes]

    @property
    def tls_ca(self) -> x509.Certificate | None:
        """Give the TLS CA's certificate, if the ceremony made one."""
        der = self.outputs.get(_TLS_CA_CERTIFICATE)
        return x509.load_der_x509_certificate(der) if der is not None else None

    def require_in(self, token: Token) -> None:
        """Require that a token's keys are those of the ceremony. Raises ConfigError, KeyNotFound."""
        for output, purpose in _PUBLIC_KEYS.items():
            if output in self.outputs:
                public = token.ed25519(purpose).public_key()
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
