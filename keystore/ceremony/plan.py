"""What a ceremony's file says, parsed: everything that will happen is in it (`plan_file` reads it)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hsm import TokenUri
from keystore.backup import RecoverableKey
from keystore.ceremony.kinds import CEREMONY, PARTIES, KeySpec, Kind, known_key
from keystore.generations import label_of, purpose_and_number
from keystore.policies import IDENTITY, ISSUING, MEDICAL_AUTHORITY, TLS_CA, rotatable_purpose

OWN: Final = "token"
"""By what the ceremony's token is called among several; the others are "twin-1", "twin-2"."""
SIGNERS: Final = (IDENTITY, TLS_CA)
"""What a hospital makes in its token while its other keys come from a seed."""


@dataclass(frozen=True)
class Roles:
    """Who is present. Nobody has two roles."""

    administrator: str
    officers: tuple[str, ...]
    witnesses: tuple[str, ...]

    @property
    def everyone(self) -> tuple[str, ...]:
        """Return all names, the administrator first."""
        return (self.administrator, *self.officers, *self.witnesses)

    def role_of(self, name: str) -> str:
        """Return in one word what somebody is here."""
        if name == self.administrator:
            return "administrator"
        return "officer" if name in self.officers else "witness"


@dataclass(frozen=True)
class Participant:
    """With what somebody signs the transcript: the key `key` of their own token, whose public half is pinned here.

    `affiliation`: for whom they are there, empty if for nobody.
    """

    token: TokenUri
    public_key: str
    key: str = CEREMONY
    affiliation: str = ""


@dataclass(frozen=True)
class Issuer:
    """The medical authority that certifies in this ceremony: token, certificate, and its newest list if one is to follow."""

    token: TokenUri
    certificate: Path
    key: str = MEDICAL_AUTHORITY
    previous_crl: Path | None = None


@dataclass(frozen=True)
class KeyChoice:
    """Which keys of the token a rotation or a destruction is about; `rotate` is the newest generation there."""

    rotate: str | None = None
    successor: str | None = None
    destroy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Backup:
    """Whose keys come from a seed; and for a restore, where the backup's public card is.

    `keys` names successors ("issuer.2"); none means the party's first keys.
    """

    party: str
    keys: tuple[str, ...] = ()
    card: Path | None = None


@dataclass(frozen=True)
class Plan:
    """One ceremony, as its file says it. `place`: where it is held, empty if that is written down by hand."""

    source: bytes
    kind: Kind
    title: str
    token: TokenUri
    roles: Roles
    participants: Mapping[str, Participant]
    threshold: int | None = None
    certificate: Mapping[str, str] = field(default_factory=dict)
    issuer: Issuer | None = None
    keys: KeyChoice = field(default_factory=KeyChoice)
    backup: Backup | None = None
    outputs: Mapping[str, Path] = field(default_factory=dict)
    previous: Path | None = None
    softhsm_configuration: Path | None = None
    twins: tuple[TokenUri, ...] = ()
    place: str = ""

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 of the file as it was reviewed."""
        return hashlib.sha256(self.source).digest()

    @property
    def tokens(self) -> dict[str, TokenUri]:
        """Return by name the tokens that this ceremony changes, its own first."""
        return {OWN: self.token} | {f"twin-{number}": uri for number, uri in enumerate(self.twins, 1)}

    @property
    def new_keys(self) -> tuple[KeySpec, ...]:
        """Return the keys that this ceremony makes in its token."""
        if self.backup is not None and self.backup.party == "hospital":
            named = self.backup.keys or SIGNERS
            return tuple(spec for label in named if (spec := known_key(label)) and spec.policy.purpose in SIGNERS)
        successor = known_key(self.keys.successor or "", card=self.kind.card)
        return self.kind.keys if successor is None else (successor,)

    @property
    def recoverable(self) -> tuple[RecoverableKey, ...]:
        """Return the keys that come from a seed."""
        if self.backup is None:
            return ()
        first = PARTIES[self.backup.party]
        named = [purpose_and_number(label) for label in self.backup.keys]
        return (
            tuple(key.successor(number) for purpose, number in named for key in first if key.label == purpose) or first
        )

    def new_labels_in(self, name: str) -> frozenset[str]:
        """Return the labels of everything that this ceremony puts into a token: what is made in its own is in no other."""
        made = self.new_keys if name == OWN else ()
        return frozenset([spec.label for spec in made] + [key.label for key in self.recoverable])

    @property
    def makes_issuer(self) -> bool:
        """Return whether this ceremony puts a generation of s into its tokens."""
        return any(rotatable_purpose(label) == ISSUING for label in self.new_labels_in(OWN))

    @property
    def needed_keys(self) -> tuple[str, ...]:
        """Return the labels that the token has to hold already."""
        return self.keys.destroy or self.followed

    @property
    def followed(self) -> tuple[str, ...]:
        """Return the labels that get a successor: each has to be the newest generation of its purpose in the token."""
        if self.keys.rotate:
            return (self.keys.rotate,)
        made = () if self.kind.backup == "restore" else self.recoverable
        named = [purpose_and_number(key.label) for key in made]
        return tuple(label_of(purpose, number - 1) for purpose, number in named if number > 1)

    @property
    def splits_pin(self) -> bool:
        """Return whether this ceremony gives its tokens a PIN in shares."""
        return self.threshold is not None and self.kind.chooses is None and self.kind.backup in {None, "twin"}

    @property
    def joins_pin(self) -> bool:
        """Return whether the token's PIN was put in shares by an earlier ceremony."""
        return self.threshold is not None and self.kind.chooses is not None
