"""Every message of a run through the in-memory federation, and its receiver's `receive`, to be tried with other bytes."""

import os
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from federation.errors import FederationError
from federation.protocol.parties import Entropy
from federation.protocol.registration import LiveRegistration
from federation.v1.envelope_pb2 import SessionFrame
from federation.v1.statement_pb2 import ROLE_PATIENT
from keystore.party import PartyKeys
from keystore.x509 import request_certificate
from tests.simulated_cloud import CLOUD_ID
from tests.simulator import BIOMETRIC_PASSWORD, Federation
from tests.vectors import scenario
from tests.vectors.world import CloudSide, Step, World, register

Steps = dict[str, Step]
REGISTRATIONS = ("reg1-patient", "reg2-patient", "reg1-patient-again", "reg2-patient-again")
SEALED = (*REGISTRATIONS, "P1", "D1", "D2", "C", "D3-read", "H1-read", "D3-store", "H1-store")
CALLS = ("room", "room-close", "duty-ask", "pub", "ekput", "tlsca", "tkt", "rev")
FRAMES = ("P2-0", "P2-1", "D4", "H2-0", "H2-1", "H2-2", "D5", "P6", "STO-0", "STO-1", "STOACK")
NAMES = (*SEALED, *CALLS, *FRAMES)


def world_of(federation: Federation) -> World:
    """Let the federation's members, with their tokens, play the scenario."""
    cloud, verifier = federation.cloud, federation.cloud.verifier()
    assert verifier.lists.signed is not None
    side = CloudSide(
        identity=CLOUD_ID,
        keyring=cloud.epochs,
        signing_key=cloud.keys.signing_key,
        issuing=cloud.keys.issuing,
        retired_issuing=cloud.keys.issuing,
        encryption_key=cloud.encryption_key(),
        revocation_head=verifier.lists.signed,
        revoked=cloud.revoked,
        crls=(federation.authority.crl(),),
    )
    return World(
        now=federation.clock.now,
        verifier=verifier,
        cloud=side,
        patient=federation.party(federation.patient),
        doctor=federation.party(federation.doctor),
        hospital=federation.party(federation.hospital_a),
        shared_keys={identity: key for identity, (_, key) in cloud.shared_keys.items()},
        biometric_password=BIOMETRIC_PASSWORD,
        tls_request=request_certificate(federation.hospital_a.keys.signing_key.x509, "H:alpha"),
        entropy=fresh,
        issuers=dict.fromkeys(("patient", "doctor", "hospital"), cloud.keys.issuing.public_key),
    )


def fresh(step: str) -> Entropy:
    """Give a step its randomness."""
    del step
    return os.urandom


def recorded(federation: Federation) -> Steps:
    """Run a registration, one that renews another, and a visit."""
    world, steps = world_of(federation), Steps()

    def carry(step: Step) -> Any:
        steps[step.name] = step
        return step.receive(step.message, now=world.now)

    member = federation.new_member("P:zhao", PartyKeys.create(federation.make_token("applicant")))
    applicant = member.applicant(ROLE_PATIENT, BIOMETRIC_PASSWORD, os.urandom(16), now=world.now)
    register(world.cloud, world.verifier, applicant, world.entropy, carry, world.now, world.now)
    patient = federation.patient
    renewing = patient.applicant(
        ROLE_PATIENT, BIOMETRIC_PASSWORD, None, now=world.now, current=patient.keys.signing_key
    )
    live = LiveRegistration(patient.key_statement)
    register(world.cloud, world.verifier, renewing, world.entropy, carry, world.now, world.now, live)
    scenario.run(world, carry)
    return steps


def require_refused(step: Step, encoded: bytes, now: int) -> None:
    """Require a typed refusal of these bytes in place of the step's message.

    One thing protobuf itself hides: a frame's `last` that is true may be encoded as any number but 0. Such bytes are the
    same message in another spelling, and no receiver can tell.
    """
    try:
        message = type(step.message).FromString(encoded)
    except DecodeError:
        return
    if message == step.message:
        assert isinstance(message, SessionFrame)
        assert message.last
        return
    with pytest.raises(FederationError):
        step.receive(message, now=now)


def spoiled(step: Step, **fields: Any) -> Step:
    """Give the step with other fields in clear."""
    message = type(step.message)()
    message.CopyFrom(step.message)
    for name, value in fields.items():
        setattr(message, name, value)
    return replace(step, message=message)
