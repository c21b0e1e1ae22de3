"""Checking transcripts: offline, from the files alone, the first thing that is wrong by its line.

What it proves: nothing was changed, left out or moved since everybody present signed. Who "everybody" is rests on their public
keys: the file names them, and a verifier who has them from elsewhere pins them. Each ceremony names the SHA-256 of the transcript
before it, so that the newest vouches for all of them.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

from cryptography.exceptions import InvalidSignature

from hsm import KeyPolicy, Provenance
from keystore.ceremony.errors import (
    CeremoniesUnchained,
    CeremonyAborted,
    ContentWrong,
    ParticipantNotPinned,
    SignatureWrong,
    TranscriptInvalid,
    TranscriptTruncated,
)
from keystore.ceremony.kinds import differences, policies_of
from keystore.ceremony.transcript import Data, Entry, parse, signed_message
from keystore.errors import InvalidPoint
from keystore.policies import CLOUD_POLICIES, ISSUING
from keystore.signatures import VerifyingKey

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
    _verify_nonces(entries)
    if opened.get("kind") == "twin":
        _verify_twins(entries)
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
        policy = _policy_of(entry.data, imported=imported)
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


def _policy_of(key: Data, *, imported: bool) -> KeyPolicy | None:
    policies = CLOUD_POLICIES if imported else policies_of(card=key.get("card") is True)
    return policies.get(str(key.get("policy")))


def _verify_nonces(entries: list[Entry]) -> None:
    """Check that no s came into a token before the nonces of that token were found to be chance."""
    fair: set[str] = set()
    for entry in entries:
        if _is_fair(entry):
            fair.add(_serial(entry))
        if entry.event == "key" and entry.data.get("policy") == ISSUING and _serial(entry) not in fair:
            raise ContentWrong(f"line {entry.number}: s came into a token whose nonces had not been examined")


def _is_fair(entry: Entry) -> bool:
    facts = entry.data
    every_one = facts.get("distinct") == facts.get("signatures")
    return entry.event == "nonces" and facts.get("fair") is True and every_one


def _verify_twins(entries: list[Entry]) -> None:
    """Check that every token has every key that was wrapped, the same, each sent under the transport key that was shown."""
    shown: dict[str, str] = {}
    checks: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.event == "transport":
            _note_transport(entry, shown)
        if entry.event == "wrapped":
            _require_shown(entry, shown)
            checks[str(entry.data.get("label"))] = {}
        if entry.event == "key" and entry.data.get("imported") is True:
            _note_check(entry, checks)
    tokens = {_serial(entry) for entry in entries if entry.event == "token"}
    for label, found in checks.items():
        if found.keys() != tokens or len(set(found.values())) != 1:
            raise ContentWrong(f"the key {label!r} is not the same in every token")


def _note_transport(entry: Entry, shown: dict[str, str]) -> None:
    made, taken = (str(entry.data.get(name)) for name in ("sha256", "taken_sha256"))
    if not hmac.compare_digest(made.encode(), taken.encode()):
        raise ContentWrong(f"line {entry.number}: a transport key was taken for another")
    shown[_serial(entry)] = made


def _note_check(entry: Entry, checks: dict[str, dict[str, str]]) -> None:
    label, check = str(entry.data.get("label")), entry.data.get("check")
    if label not in checks:
        raise ContentWrong(f"line {entry.number}: the key was not wrapped before it was there")
    if not isinstance(check, str):
        raise ContentWrong(f"line {entry.number}: the key has no check value")
    checks[label][_serial(entry)] = check


def _serial(entry: Entry) -> str:
    return str(entry.data.get("serial"))


def _require_shown(wrapped: Entry, shown: Mapping[str, str]) -> None:
    sent = wrapped.data.get("sent")
    under = {serial: to.get("transport_sha256") for serial, to in sent.items()} if _is_table_of_tables(sent) else None
    if not shown or under != shown:
        raise ContentWrong(
            f"line {wrapped.number}: a key was wrapped for other transport keys than those that were shown"
        )


def _is_table_of_tables(sent: object) -> TypeGuard[dict[str, dict[str, object]]]:
    return isinstance(sent, dict) and all(isinstance(to, dict) for to in sent.values())


def _is_digest_of(digest: str, content: object) -> bool:
    try:
        found = hashlib.sha256(bytes.fromhex(str(content))).hexdigest()
    except ValueError:
        return False
    return hmac.compare_digest(found.encode(), digest.encode())


def _closed(entries: list[Entry]) -> int:
    """Return the number of the entry that was signed: the last "closed"."""
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
        VerifyingKey(bytes.fromhex(public_key)).verify(signature, signed_message(head))
    except (ValueError, InvalidPoint, InvalidSignature) as error:
        raise SignatureWrong(f"line {entry.number}: the signature is not {name}'s") from error


def _last(signed: list[Entry]) -> str:
    return str(signed[-1].number) if signed else '"closed"'


def _verify_pins(signers: Mapping[str, str], pinned: Mapping[str, str]) -> None:
    for name, key in pinned.items():
        if name not in signers:
            raise ParticipantNotPinned(f"{name} is not among those who signed: {', '.join(sorted(signers))}")
        if not hmac.compare_digest(signers[name].encode(), key.lower().encode()):
            raise ParticipantNotPinned(f"{name} signed with another key than the one that you pinned")


@dataclass(frozen=True)
class VerifiedChain:
    """The newest ceremony; those before it by file, newest first; the SHA-256 of the next one, if it was not given."""

    newest: Verified
    earlier: Mapping[str, Verified]
    not_given: str | None


def verify_chain(newest: bytes, earlier: Mapping[str, bytes], pinned: Mapping[str, str] | None = None) -> VerifiedChain:
    """Check a transcript and those before it, which come by file in any order. Raises TranscriptInvalid.

    From the newest back; the first that is wrong is named. Who is pinned has to have signed the newest, and an earlier one, if
    they were there, with the same key.
    """
    pins = pinned or {}
    files = {hashlib.sha256(content).hexdigest(): name for name, content in earlier.items()}
    last = later = verify(newest, pins)
    found: dict[str, Verified] = {}
    while (name := files.pop(previous_of(later) or "", None)) is not None:
        sooner = found[name] = verify_earlier(name, earlier[name], pins)
        _require_follows(later, sooner, name)
        later = sooner
    for name in files.values():
        verify_earlier(name, earlier[name], pins)
        raise CeremoniesUnchained(f"{name} holds, but no transcript here names it as the one before")
    return VerifiedChain(last, found, previous_of(later))


def previous_of(verified: Verified) -> str | None:
    """Return the SHA-256 (hex) of the transcript that a ceremony says came before it."""
    previous = verified.entries[0].data.get("previous_sha256")
    return previous if isinstance(previous, str) else None


def verify_earlier(name: str, content: bytes, pinned: Mapping[str, str]) -> Verified:
    """Check one transcript; the pinned who were not there need not have signed it. Raises TranscriptInvalid with its name."""
    try:
        there = verify(content).signers.keys() & pinned.keys()
        return verify(content, {participant: pinned[participant] for participant in there})
    except TranscriptInvalid as error:
        raise type(error)(f"{name}: {error}") from error


def _require_follows(later: Verified, sooner: Verified, name: str) -> None:
    if later.rehearsal != sooner.rehearsal:
        raise CeremoniesUnchained(f"{name}: a rehearsal and a ceremony do not follow each other")
    if datetime.fromisoformat(later.entries[0].at) < datetime.fromisoformat(sooner.entries[-1].at):
        raise CeremoniesUnchained(f"{name} ends after the ceremony that names it as the one before begins")
