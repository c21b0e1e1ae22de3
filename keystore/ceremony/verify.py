"""Checking a transcript: offline, from the file alone, the first thing that is wrong by its line.

What it proves: nothing was changed, left out or moved since everybody present signed. Who "everybody" is rests on their public
keys: the file names them, and a verifier who has them from elsewhere pins them.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hsm import Provenance
from keystore.ceremony.attributes import differences
from keystore.ceremony.errors import (
    CeremonyAborted,
    ContentWrong,
    ParticipantNotPinned,
    SignatureWrong,
    TranscriptTruncated,
)
from keystore.ceremony.transcript import Data, Entry, parse, signed_message
from keystore.policies import CLOUD_POLICIES, POLICIES

FORMAT = 1


@dataclass(frozen=True)
class Verified:
    """A transcript that holds: what it is of, and who signed it."""

    title: str
    kind: str
    rehearsal: bool
    signers: Mapping[str, str]
    head: bytes
    entries: tuple[Entry, ...]


def verify(content: bytes, pinned: Mapping[str, str] | None = None) -> Verified:
    """Check a transcript; `pinned` gives public keys (hex) by participants' names. Raises TranscriptInvalid."""
    entries = parse(content)
    opened = _opened(entries)
    for entry in entries:
        _verify_content(entry)
    closed = _closed(entries)
    signers = _signers(opened)
    _verify_signatures(entries[closed:], signers, entries[closed - 1].digest)
    _verify_pins(signers, pinned or {})
    return Verified(
        title=str(opened["title"]),
        kind=str(opened["kind"]),
        rehearsal=opened.get("rehearsal") is not False,
        signers=signers,
        head=entries[closed - 1].digest,
        entries=tuple(entries),
    )


def _opened(entries: list[Entry]) -> Data:
    first = entries[0]
    if first.event != "opened" or first.data.get("format") != FORMAT:
        raise ContentWrong(f"line 1 does not open a transcript of format {FORMAT}")
    if any(entry.event == "opened" for entry in entries[1:]):
        raise ContentWrong("a transcript is opened once")
    return first.data


def _verify_content(entry: Entry) -> None:
    """Check what an entry claims about itself, as far as the entry alone shows it."""
    if entry.event == "key":
        imported = entry.data.get("imported") is True
        policy = (CLOUD_POLICIES if imported else POLICIES).get(str(entry.data.get("policy")))
        attributes = entry.data.get("attributes")
        if policy is None or not isinstance(attributes, dict):
            raise ContentWrong(f"line {entry.number} tells of a key without policy or attributes")
        if imported and policy.provenance is not Provenance.IMPORTABLE:
            raise ContentWrong(f"line {entry.number}: a key of this purpose is never imported")
        wrong = differences(attributes, policy, imported=imported)
        if wrong:
            raise ContentWrong(f"line {entry.number}: the key breaks its policy in {', '.join(wrong)}")
    if entry.event == "output":
        content, digest = entry.data.get("content"), str(entry.data.get("sha256"))
        if not _is_digest_of(digest, content):
            raise ContentWrong(f"line {entry.number}: the digest is not that of the output")


def _is_digest_of(digest: str, content: object) -> bool:
    try:
        found = hashlib.sha256(bytes.fromhex(str(content))).hexdigest()
    except ValueError:
        return False
    return hmac.compare_digest(found.encode(), digest.encode())


def _closed(entries: list[Entry]) -> int:
    """Give the number of the entry that was signed: the last "closed"."""
    closed = max((entry.number for entry in entries if entry.event == "closed"), default=0)
    ended = [entry for entry in entries if entry.event == "aborted"]
    if ended:
        reason = f"{ended[-1].data.get('reason')}: {ended[-1].data.get('sentence')}"
        raise CeremonyAborted(f"line {ended[-1].number}: the ceremony was aborted: {reason}")
    if not closed:
        raise TranscriptTruncated(f"the transcript ends after line {len(entries)}, before the ceremony was over")
    return closed


def _signers(opened: Data) -> dict[str, str]:
    participants = opened.get("participants")
    if not isinstance(participants, dict) or not participants:
        raise ContentWrong("line 1 names no participants")
    return {str(name): str(key) for name, key in participants.items()}


def _verify_signatures(signed: list[Entry], signers: Mapping[str, str], head: bytes) -> None:
    """Check that after the last "closed" come all signatures, in the order of line 1's names, and nothing else."""
    names = sorted(signers)
    for entry, name in zip(signed, names, strict=False):
        if entry.event != "signed" or entry.by != name:
            raise SignatureWrong(f"line {entry.number} is not {name}'s signature")
        _verify_signature(entry, name, signers[name], head)
    if len(signed) < len(names):
        raise TranscriptTruncated(f"the signature of {names[len(signed)]} is missing after line {_last(signed)}")
    if len(signed) > len(names):
        raise SignatureWrong(f"line {signed[len(names)].number} comes after the last signature")


def _verify_signature(entry: Entry, name: str, public_key: str, head: bytes) -> None:
    try:
        signature = bytes.fromhex(str(entry.data.get("signature")))
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, signed_message(head))
    except (ValueError, InvalidSignature) as error:
        raise SignatureWrong(f"line {entry.number}: the signature is not {name}'s") from error


def _last(signed: list[Entry]) -> str:
    return str(signed[-1].number) if signed else '"closed"'


def _verify_pins(signers: Mapping[str, str], pinned: Mapping[str, str]) -> None:
    for name, key in pinned.items():
        if name not in signers:
            raise ParticipantNotPinned(f"{name} is not among those who signed: {', '.join(sorted(signers))}")
        if not hmac.compare_digest(signers[name].encode(), key.lower().encode()):
            raise ParticipantNotPinned(f"{name} signed with another key than the one that you pinned")
