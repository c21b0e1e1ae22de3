"""An address is a peer's words: what an index row or a code names is called over the network, or not at all."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from federation.errors import FederationError, FieldInvalid, Unavailable
from federation.party.channels import ChannelPool
from federation.person.code import DoctorCode
from federation.person.errors import CodeInvalid
from federation.protocol.search import RecordLocation
from federation.v1.directory_pb2 import TrustBundle
from keystore.x509 import create_tls_ca
from tests.hospital_lab import CARDIOLOGY, ecg
from tests.keys import new_key
from tests.simulator import Federation
from tests.unit.person.conftest import make_doctor
from tests.unit.wire.conftest import listening_locally

LOCAL = [("unix:1", "1"), ("unix-abstract:1", "\0001"), ("unix-abstract:evil:1", "\0evil:1")]
"""What gRPC takes for a socket of this machine -> the name of that socket."""


def pool(federation: Federation) -> ChannelPool:
    """Give the doctor's channels, trusting a TLS CA that is one."""
    bundle, content = federation.doctor.trust.newest(), TrustBundle()
    content.CopyFrom(bundle.content)
    ca = create_tls_ca(new_key(), "unit", now=datetime.now(UTC))
    content.tls_ca_certificates[:] = [ca.public_bytes(Encoding.DER)]
    return ChannelPool(lambda: replace(bundle, content=content))


@pytest.mark.parametrize(("address", "name"), LOCAL)
def test_index_row_that_names_a_local_socket_gets_no_client_hello(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _, present = federation.consult(ecg())
    hospital = federation.address(federation.hospital_a)
    channels = pool(federation)
    doctor = make_doctor(federation, tmp_path, channels.get)
    location = RecordLocation(hospital.party, hospital.encryption_key, address, CARDIOLOGY, bytes(16))
    with listening_locally(name) as listening:
        with pytest.raises((FieldInvalid, Unavailable)):
            list(doctor.fetch(present, [location]))
        channels.close()
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(
    "address", ["unix:/run/evil.sock:1", "unix-abstract:evil:1", "dns:///b:1", "xds:///b:1", "b:99999"]
)
def test_field_invalid_and_code_invalid_for_what_is_no_address(federation: Federation, address: str) -> None:
    channels = pool(federation)
    with pytest.raises(FieldInvalid):
        channels.get(address, "H:alpha")
    code = str(DoctorCode(address, "H:alpha", bytes(16), bytes(32)))
    with pytest.raises(CodeInvalid) as raised:
        DoctorCode.parse(code)
    assert isinstance(raised.value, FederationError)
    channels.close()
