"""Real calls of PKCS#11 that a step makes in one token: once its keys were looked up, all of them go through Cryptoki."""

from collections import Counter
from collections.abc import Callable
from threading import local

import pytest
from pkcs11 import Attribute

from hsm import Token
from hsm.cryptoki import Cryptoki, Function
from hsm.raw import AttributeValue, RawKey
from hsm.sessions import Session, Sessions

SIGNS = ("C_SignInit", "C_Sign")
MACS = SIGNS
TIMES = 8
AGREES = ("C_DeriveKey", "C_GetAttributeValue", "C_DestroyObject")


class TokenCalls:
    """Counts calls from now on, by token and name; a search, which is python-pkcs11's, counts as one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[Sessions | None, str]] = []
        lent = local()  # a thread works in one session at a time: a session counts for its token whoever has it later
        call, search, work = Cryptoki._call, Session.search, Sessions._work

        def counted(cryptoki: Cryptoki, function: Function, *arguments: int) -> None:
            self.made.append((getattr(lent, "by", None), function.name))
            call(cryptoki, function, *arguments)

        def searched(session: Session, attributes: dict[Attribute, AttributeValue]) -> list[RawKey]:
            self.made.append((getattr(lent, "by", None), "C_FindObjects"))
            return search(session, attributes)

        def worked(sessions: Sessions, step: Callable[[Session], object], doing: str, *, writable: bool) -> object:
            lent.by = sessions
            try:
                return work(sessions, step, doing, writable=writable)
            finally:
                lent.by = None

        monkeypatch.setattr(Cryptoki, "_call", counted)
        monkeypatch.setattr(Session, "search", searched)
        monkeypatch.setattr(Sessions, "_work", worked)

    def of(self, token: Token, step: Callable[[], object]) -> Counter[str]:
        """Return what a step asks of a token at the least of `TIMES` times: a server's chores may come between."""
        step()
        counts = []
        for _ in range(TIMES):
            begun = len(self.made)
            step()
            counts.append(Counter(name for by, name in self.made[begun:] if by is token.own_sessions))
        return min(counts, key=Counter.total)
