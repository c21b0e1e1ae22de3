"""NSS softoken: Mozilla's own PKCS#11 3.0 token, sharing no code with SoftHSM.

It agrees in each of the three ways. A private key that comes wrapped may both sign and derive, whatever its template says: it
has no UNWRAP.

Its tokens are databases in directories that are named when the module is initialised, by NSS_LIB_PARAMS; a program
that may not change the environment would have to pass the same words in C_Initialize's pReserved.
"""

import os
from itertools import count
from pathlib import Path

import pkcs11
import pytest

from federation.party.tokens import NEEDED
from hsm import TokenUri, Way, module
from hsm.module import Module
from tests.contract.token_backends import Capability, TokenUnderTest, empty

LIBRARY = Path(__file__).parents[3] / ".venv" / "tokens" / "nss" / "libsoftokn3.so"
_FIRST_SLOT = 4  # softoken keeps 1 to 3 for itself
_TOKENS = 60


class NssToken(TokenUnderTest):
    """Softoken with databases in a temporary directory; the oldest is emptied and given again when all are used."""

    name = "nss"
    can = frozenset(Capability) - {
        Capability.INITIALIZE,
        Capability.PROVENANCE,
        Capability.REMOVAL,
        Capability.UNWRAP,
    }
    manufacturer, model = "Mozilla Foundation", "NSS 3"
    ways = tuple(Way)
    roles = frozenset(NEEDED)

    def __init__(self) -> None:
        self._numbers = count()

    def start(self, request: pytest.FixtureRequest) -> None:
        base: Path = request.getfixturevalue("tmp_path_factory").mktemp("nss")
        slots = []
        for number in range(_TOKENS):
            directory = base / str(number)
            directory.mkdir(mode=0o700)
            slots.append(f"0x{_FIRST_SLOT + number:x}=[configdir='sql:{directory}' tokenDescription='nss-{number}']")
        os.environ["NSS_LIB_PARAMS"] = f"configdir='' flags=noCertDB,noModDB tokens=<{' '.join(slots)}>"

    def make(self, label_prefix: str) -> TokenUri:
        number = next(self._numbers)
        uri = TokenUri(module_path=LIBRARY, token=f"nss-{number % _TOKENS}")
        if number < _TOKENS:
            _set_first_pin(module.load(LIBRARY), str(uri.token), self.user_pin)
        else:
            empty(uri, self.user_pin)
        return uri


def _set_first_pin(loaded: Module, label: str, pin: str) -> None:
    """Set the user's PIN as softoken wants it: its security officer has no PIN, and may log in this once."""
    with loaded.call():
        (token,) = (token for token in loaded.in_slots() if token.label == label)
        session = token.open(rw=True)
        loaded.cryptoki.login(session.handle, pkcs11.UserType.SO, "")
        loaded.cryptoki.init_pin(session.handle, pin)
        loaded.cryptoki.logout(session.handle)
        session.close()
