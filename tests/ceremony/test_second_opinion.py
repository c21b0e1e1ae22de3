"""What a ceremony signed is verified by the openssl program before it is on record, and no ceremony begins without it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystore.ceremony import engine, outputs
from keystore.ceremony.console import Room
from keystore.ceremony.kinds import KINDS
from keystore.ceremony.openssl import OpenSsl
from keystore.ceremony.outputs import _OPINIONS
from tests.ceremony.hall import EXAMPLES, Hall, rehearse

Halls = Callable[[str], Hall]
OUTPUTS_OF = {
    "authority_certificate": "medical-authority",
    "first_crl": "medical-authority",
    "tls_ca_certificate": "federation-tls-ca",
    "identity_ca_request": "hospital-enrolment",
    "certificate_request": "doctor-card",
    "doctor_certificate": "doctor-card",
    "crl": "re-issue",
}


def openssl() -> OpenSsl:
    found = OpenSsl.find()
    assert found is not None
    return found


def test_every_output_that_is_signed_gets_a_second_opinion() -> None:
    made = {name for kind in KINDS.values() for name in kind.outputs}
    assert made - {"issuer_public_key", "verifying_key", "backup_card"} == _OPINIONS.keys() == OUTPUTS_OF.keys()


def test_transcript_names_the_program_and_what_it_verified(hall: Halls) -> None:
    done = hall("re-issue")
    assert done.run().exit_code == 0
    version = openssl().version
    assert version.startswith("OpenSSL ")
    assert done.entries()[0].data["openssl"] == version
    assert [e.data["verified_by"] for e in done.entries() if e.event == "output"] == [version] * 3


@pytest.mark.parametrize("name", sorted(OUTPUTS_OF))
def test_certificate_rejected_if_openssl_refuses_a_signature(
    name: str, hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With our own check out of the way, OpenSSL alone finds it."""
    prepared = hall(OUTPUTS_OF[name])
    prepared.write(prepared.file.read_text().replace("[quorum]\nthreshold = 2\n", ""))
    make = outputs.make

    def forge(made: str, room: Room) -> bytes:
        content = make(made, room)
        return content[:-1] + bytes([content[-1] ^ 1]) if made == name else content

    monkeypatch.setattr(outputs, "make", forge)
    result = prepared.run()
    assert (result.exit_code, "[CERTIFICATE_REJECTED]" in result.output) == (1, True), result.output
    assert "openssl " in result.output
    assert prepared.last().event == "aborted"
    assert not list(prepared.directory.glob("*.csr"))
    assert prepared.labels() == set()


def test_tool_missing_stops_a_ceremony_before_its_token_is_touched_but_no_rehearsal(
    hall: Halls, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = hall("medical-authority")
    monkeypatch.setenv("PATH", "")
    result = prepared.run()
    assert (result.exit_code, "[TOOL_MISSING]" in result.output) == (1, True), result.output
    assert not prepared.transcript.exists()
    said = rehearse(EXAMPLES / "medical-authority.toml", prepared.transcript)
    assert "REHEARSAL openssl is not installed" in said


def test_tool_missing_stops_a_resumed_ceremony_too(hall: Halls, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = hall("medical-authority")
    prepared.change("[quorum]\nthreshold = 2\n", "")
    with monkeypatch.context() as patch:
        patch.setattr(engine.actions, "generate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert prepared.run().exit_code == 1
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert "[TOOL_MISSING]" in prepared.run("--resume").output
    assert prepared.run("--resume").exit_code == 0


def test_a_program_that_does_not_run_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openssl").write_text("#!/bin/false\n")
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert OpenSsl.find() is None


def test_certificate_rejected_outside_its_validity(people) -> None:
    now = datetime.now(UTC)
    openssl().verify_certificate(people.certificate, people.certificate, now)
    with pytest.raises(outputs.CertificateRejected, match="openssl verify refuses it"):
        openssl().verify_certificate(people.certificate, people.certificate, now.replace(year=now.year + 11))


def test_certificate_rejected_under_another_authority_of_the_same_name(people, others_certificate: bytes) -> None:
    other = x509.load_der_x509_certificate(others_certificate).public_bytes(Encoding.DER)
    with pytest.raises(outputs.CertificateRejected, match="openssl crl refuses it"):
        openssl().verify_crl(people.crl, other)
