"""Every key of a serving cloud is rotated by its operator's commands, while others register, search, publish and renew."""

import os
import signal
import ssl
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from demo.stage import typed
from federation.clock import system_clock
from federation.cloud import index_rows, rekey
from federation.protocol.index import Location
from federation.protocol.time import milliseconds
from federation.rotation.cloud import LOG_ENTRIES, SOON, cloud_rotation
from federation.rotation.steps import SETTLING
from hsm import pin_from_value
from keystore.generations import State
from keystore.party import IDENTITY, INDEXING, ISSUING, SEALING, TLS_CA
from keystore.x509 import is_issued_by
from tests.e2e.cloud_lab import CloudLab, cloud_lab
from tests.e2e.cloud_traffic import Traffic
from tests.e2e.unserved_cloud import Clock, looked_up, opened, unserved_cloud
from tests.grants import EVERYTHING
from tests.waiting import until

PURPOSES = (IDENTITY, ISSUING, TLS_CA, SEALING, INDEXING)
GIVEN_UP = {ISSUING: ["--forget-registrations"], SEALING: ["--forget-log"]}
"""Newcomers that never come back, and entries of the log, which stay as they are."""

_MEDUNION = (sys.executable, "-m", "federation.cli.main")


class Operator:
    """Types `medunion public-cloud rotate` for a cloud's directory."""

    def __init__(self, directory: Path, pin: Path) -> None:
        """Work on this directory."""
        self._where = ("--directory", str(directory), "--pin-file", str(pin))

    def words(self, step: str, *rest: object) -> list[str]:
        """Return the whole command."""
        return [*_MEDUNION, "public-cloud", "rotate", step, *map(str, rest), *self._where]

    def types(self, step: str, *rest: object, expect: int = 0) -> str:
        """Run it to its end, and return what it said."""
        done = typed(self.words(step, *rest)[len(_MEDUNION) :], dict(os.environ))
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def pin_file(tmp_path, user_pin):
    """Return a file with the PIN."""
    path = tmp_path / "pin"
    path.write_text(user_pin.reveal())
    path.chmod(0o600)
    return path


def states_of(lab) -> list[tuple[str, int, State]]:
    return sorted((it.purpose, it.number, it.state) for it in cloud_rotation(lab.node).status())


def served_leaf(lab: CloudLab) -> x509.Certificate:
    """Return the certificate that a new connection is shown."""
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", lab.ports.public)).encode())


def left_but_log(lab: CloudLab, purpose: str) -> int:
    line = next(it for it in cloud_rotation(lab.node).status() if it.purpose == purpose)
    return sum(count for words, count in line.left.items() if words != LOG_ENTRIES)


def test_every_key_is_rotated_while_others_register_search_publish_and_renew(
    tmp_path, make_token_uri, user_pin, pin_file
):
    with cloud_lab(tmp_path, make_token_uri, pin_from_value(user_pin.reveal())) as lab:
        operator, traffic = Operator(tmp_path / "cloud", pin_file), Traffic(lab)
        with traffic.running():
            traffic.await_rounds(2)
            for purpose in PURPOSES:
                assert "ROTATION_NOT_PREPARED" in operator.types("activate", purpose, expect=1)
                operator.types("prepare", purpose, "--make-keys")
                assert "GENERATION_ACTIVE" in operator.types("taint", purpose, 1, expect=1)
            traffic.await_rounds(2)
            for purpose in PURPOSES:
                operator.types("activate", purpose, "--now")
            settled_at = time.monotonic() + (SOON + SETTLING).total_seconds()
            until(lambda: {it[1:] for it in states_of(lab)} == {(1, State.RETIRED), (2, State.ACTIVE)})
            traffic.await_rounds(2)
            until(lambda: is_issued_by(served_leaf(lab), lab.node.cloud.tls_ca))
            for purpose in PURPOSES:
                operator.types("taint", purpose, 1)
            time.sleep(max(0.0, settled_at - time.monotonic()))
            for purpose in (IDENTITY, SEALING, INDEXING):
                until(lambda: left_but_log(lab, purpose) == 0)  # noqa: B023 - called here
            assert "GENERATION_NEEDED" in operator.types("revoke", SEALING, 1, expect=1)
            for purpose in PURPOSES:
                operator.types("revoke", purpose, 1, *GIVEN_UP.get(purpose, []))
            traffic.await_rounds(3)
        assert traffic.failure is None
        each = ((1, State.REVOKED), (2, State.ACTIVE))
        expected = sorted((purpose, *it) for purpose in PURPOSES for it in each)
        until(lambda: states_of(lab) == expected)
        assert lab.refusals() == []
        assert lab.node.cloud.audit.verify() > 0


def test_walk_that_is_killed_goes_on_when_it_is_typed_again(tmp_path, make_token_uri, make_token, user_pin, pin_file):
    pin, count = pin_from_value(user_pin.reveal()), 40
    with unserved_cloud(tmp_path, make_token_uri, pin) as directory:
        operator = Operator(directory.path, pin_file)
        clock = Clock(system_clock() - milliseconds(timedelta(minutes=1)))
        with opened(directory, pin, clock, make_token) as cloud:
            union = cloud.node.cloud
            for number in range(count):
                index_rows.put_row(union, f"P:{number}", Location("H:north/cardiology", b"h" * 16))
            cloud.rotate(SEALING)
            with subprocess.Popen(operator.words("reseal", SEALING, "--per-second", 10), env=os.environ) as process:
                until(lambda: rekey.count_sealed_rows(union, 1) < count - 3)
                process.send_signal(signal.SIGKILL)
            assert 0 < rekey.count_sealed_rows(union, 1) < count
            operator.types("reseal", SEALING)
            assert rekey.count_sealed_rows(union, 1) == 0
            assert "is revoked" in operator.types("revoke", SEALING, 1, "--forget-log")
            assert len(looked_up(union, "P:7", ["cardiology"], EVERYTHING)) == 1
