"""What the contract tests of a token share: a PIN that counts, and ways to lose a session, a login or a module."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from pkcs11 import Attribute

from hsm import Pin, Token, TokenUri
from hsm.cryptoki import Cryptoki
from hsm.module import Module
from hsm.sessions import Session

MakeUri = Callable[..., TokenUri]
MakeToken = Callable[..., Token]


class CountingPin:
    """A provider that counts how often it is asked, and can change its mind."""

    def __init__(self, value: str) -> None:
        self.value, self.asked = value, 0

    def __call__(self) -> Pin:
        self.asked += 1
        return Pin(self.value)


def module_of(token: Token) -> Module:
    return token._sessions._module


def log_out_behind_its_back(token: Token) -> None:
    module_of(token).cryptoki.logout(token._sessions._login._session.handle)


def finalize_behind_its_back(token: Token) -> None:
    module_of(token).cryptoki.finalize()


def restart_behind_its_back(token: Token) -> None:
    module_of(token).restart(module_of(token).generation)


def close_sessions_behind_its_back(token: Token) -> None:
    for session in token._sessions._idle:
        session.raw.close()


def destroy_behind_its_back(token: Token, label: str) -> None:
    """Destroy a key in a session that the pool knows nothing of, as another program would."""
    session = token._sessions._login.token.open(rw=True)
    for thing in list(session.get_objects({Attribute.LABEL: label})):
        thing.destroy()
    session.close()  # opened without a PIN: nobody is logged out


class _Answering:
    """A module whose token answers everything that it should sign with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def sign(self, *_args: object) -> bytes:
        return self._answer


def answering(session: Session, answer: bytes) -> Session:
    """Give the session with such a module in place of its own."""
    return replace(session, cryptoki=cast("Cryptoki", _Answering(answer)))
