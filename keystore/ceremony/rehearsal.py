"""A rehearsal: the identical script on throw-away SoftHSM tokens, and every line that it prints says so.

PINs and shares are throw-away ones and are typed all the same: what goes wrong at a ceremony is what hands do.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from hsm import Pin, PinProvider, Token, TokenUri, open_token, pin_from_value
from hsm.softhsm import SoftHsm, find_module
from keystore.backup import RecoverableKeys, new_seed
from keystore.ceremony.console import Desk
from keystore.ceremony.kinds import CEREMONY, known_key
from keystore.ceremony.plan import Backup, Issuer, Participant, Plan
from keystore.ceremony.transcript import write_new
from keystore.keyring import generate
from keystore.policies import IDENTITY, MEDICAL_AUTHORITY, POLICIES
from keystore.quorum import Share, split_pin
from keystore.signatures import VerifyingKey
from keystore.x509 import create_authority, issue_crl

MARK: Final = "REHEARSAL"
PRACTICE_PIN: Final = "rehearsal"
"""Of every throw-away token: it is shown and typed."""
_SO_PIN_BYTES: Final = 16
_AUTHORITY_ID: Final = "M:rehearsal"


@dataclass
class RehearsalDesk:
    """A desk that marks every line, and tells the PIN of the throw-away tokens before it has it typed."""

    desk: Desk

    def say(self, text: str) -> None:
        """Show lines, each marked."""
        self.desk.say("\n".join(f"{MARK} {line}" for line in text.split("\n")))

    def ask(self, prompt: str, text: str) -> str:
        """Ask, marked."""
        return self.desk.ask(prompt, f"{MARK} {text}")

    def try_again(self, prompt: str, error: Exception) -> None:
        """Say what was wrong, as at the ceremony."""
        self.desk.try_again(prompt, error)

    def pin(self, name: str, text: str) -> PinProvider:
        """Have the PIN of a throw-away token typed."""
        provider = self.desk.pin(name, f"{MARK} {text}")

        def told() -> Pin:
            self.say(f"The PIN of every throw-away token is {PRACTICE_PIN!r}: type it as you will type yours.")
            return provider()

        return told

    def show_share(self, share: Share) -> None:
        """Show a share of a throw-away secret, to be written down as at the ceremony."""
        self.desk.show_share(share)

    def take_share(self, holder: str, text: str) -> str:
        """Have a share typed."""
        return self.desk.take_share(holder, text)


class Stage:
    """The throw-away tokens of one rehearsal."""

    def __init__(self, directory: Path, desk: Desk, now: Callable[[], datetime]) -> None:
        """Make them in this directory, which the caller removes."""
        self._shares: list[Share] = []
        self._softhsm = SoftHsm(directory / "softhsm")
        self._directory = directory
        self._now = now
        self.desk = RehearsalDesk(desk)

    def plan(self, plan: Plan) -> Plan:
        """Return the same ceremony on throw-away tokens, its files thrown away too."""
        outputs = self._directory / "outputs"
        outputs.mkdir()
        uri, *twins = (self._prepared(name, plan) for name in plan.tokens)
        if plan.joins_pin and plan.threshold is not None:
            self._shares = split_pin(Pin(PRACTICE_PIN), threshold=plan.threshold, holders=plan.roles.officers)
        return replace(
            plan,
            token=uri,
            twins=tuple(twins),
            backup=self._backup(plan),
            participants={name: self._participant(name, who) for name, who in plan.participants.items()},
            issuer=self._issuer(plan.issuer),
            outputs={name: outputs / path.name for name, path in plan.outputs.items()},
        )

    def give_shares(self) -> None:
        """Show the officers throw-away shares, where a ceremony needs those of an earlier one."""
        if self._shares:
            self.desk.say("Each officer has a share from an earlier ceremony. For this rehearsal each gets another:")
        for share in self._shares:
            self.desk.show_share(share)

    def _prepared(self, name: str, plan: Plan) -> TokenUri:
        with self._token(f"rehearsal {name}") as token:
            for label in plan.needed_keys:
                spec = known_key(label, card=plan.kind.card)
                generate(token, label, spec.policy if spec else POLICIES[IDENTITY])
            return _uri_of(token)

    def _backup(self, plan: Plan) -> Backup | None:
        """Make a throw-away backup to restore from."""
        if plan.backup is None or plan.backup.card is None or plan.threshold is None:
            return plan.backup
        with self._token("rehearsal dead token") as token:
            holders, seed = plan.roles.officers, new_seed(token)
            made = RecoverableKeys.create(token, plan.recoverable, seed, threshold=plan.threshold, holders=holders)
        self._shares = list(made.shares)
        path = self._directory / "card.json"
        write_new(path, made.card.to_json().encode())
        return replace(plan.backup, card=path)

    def _token(self, label: str) -> Token:
        uri = self._softhsm.create_token(
            label[:32], pin=Pin(PRACTICE_PIN), so_pin=Pin(secrets.token_hex(_SO_PIN_BYTES))
        )
        return open_token(uri, pin_from_value(PRACTICE_PIN))

    def _participant(self, name: str, real: Participant) -> Participant:
        with self._token(name) as token:
            key = VerifyingKey.of(token.generate_signing(CEREMONY).public_key())
            return Participant(_uri_of(token), key.data.hex(), affiliation=real.affiliation)

    def _issuer(self, issuer: Issuer | None) -> Issuer | None:
        if issuer is None:
            return None
        with self._token("rehearsal authority") as token:
            key = token.generate_signing(MEDICAL_AUTHORITY, POLICIES[MEDICAL_AUTHORITY])
            certificate = create_authority(key, _AUTHORITY_ID, now=self._now())
            crl = issue_crl(certificate, key, [], 1, now=self._now())
            uri = _uri_of(token)
        path, previous = self._directory / "authority.der", self._directory / "crl.der"
        write_new(path, certificate.public_bytes(Encoding.DER))
        write_new(previous, crl.public_bytes(Encoding.DER))
        return Issuer(uri, path, MEDICAL_AUTHORITY, previous if issuer.previous_crl else None)


def _uri_of(token: Token) -> TokenUri:
    return TokenUri(module_path=find_module(), token=token.label, serial=token.serial)
