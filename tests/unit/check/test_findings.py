"""Parts of a check that no served federation shows: who answers at an address, whose files they are."""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from federation.check import membership
from federation.check.findings import KINDS, Examined
from federation.check.own import is_someone_elses
from federation.check.peers import TlsUntrusted, dial
from federation.clock import system_clock
from federation.errors import FieldInvalid, Unavailable
from federation.party.node_directory import NodeDirectory
from federation.settings import CloudSettings, TokenSettings
from keystore.x509 import create_tls_ca, issue_leaf
from tests.keys import new_key

CLOUD = "C:union"


class Authority:
    """A federation's TLS CA, in software."""

    def __init__(self) -> None:
        self.key = new_key()
        self.certificate = create_tls_ca(self.key, "keys", now=datetime.now(UTC))

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @contextmanager
    def serving(self, directory: Path, identity: str) -> Iterator[str]:
        """Shake hands with whoever comes, as that identity; give the address."""
        leaf = issue_leaf(self.certificate, self.key, identity, now=datetime.now(UTC))
        (directory / "leaf.pem").write_bytes(leaf.private_key + leaf.chain)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "leaf.pem")
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=_shake, args=(listening, context), daemon=True).start()
            yield f"127.0.0.1:{listening.getsockname()[1]}"


def _shake(listening: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listening.accept()
    try:
        context.wrap_socket(connection, server_side=True).close()
    except OSError:
        connection.close()


def test_right_server_is_reached(tmp_path: Path) -> None:
    authority = Authority()
    with authority.serving(tmp_path, CLOUD) as address:
        dial(address, CLOUD, authority.pem)


@pytest.mark.parametrize(
    ("roots", "identity"), [(lambda _: Authority(), CLOUD), (lambda ours: ours, "C:another")], ids=["issuer", "name"]
)
def test_tls_untrusted_if_somebody_else_answers(
    tmp_path: Path, roots: Callable[[Authority], Authority], identity: str
) -> None:
    authority = Authority()
    with authority.serving(tmp_path, CLOUD) as address, pytest.raises(TlsUntrusted, match=f"not good for {identity}"):
        dial(address, identity, roots(authority).pem)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:443"])
def test_unavailable_if_nobody_answers(address: str) -> None:
    with pytest.raises(Unavailable):
        dial(address, CLOUD, Authority().pem)


def test_field_invalid_for_what_is_no_address() -> None:
    with pytest.raises(FieldInvalid):
        dial("127.0.0.1:port", CLOUD, Authority().pem)


def test_node_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, settings = NodeDirectory(tmp_path), CloudSettings(CLOUD, "a:1", "a:2", TokenSettings("u"))
    directory.write_settings(settings)
    examined = Examined(directory, KINDS["C"], settings, lambda: None, system_clock)
    assert is_someone_elses(examined) is None
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    found = is_someone_elses(examined)
    assert found is not None
    assert "runuser -u" in found.do


def test_clock_that_the_system_cannot_be_asked_about_is_not_called_synchronised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoSuchFunction:
        """A C library without ntp_adjtime."""

    monkeypatch.setattr(membership.ctypes, "CDLL", lambda *_args, **_options: NoSuchFunction())
    assert not membership.is_synchronised()
