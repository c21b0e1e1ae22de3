"""Somebody who applies for registration, step by step."""

from dataclasses import replace

from federation.protocol.anchors import serial_entry
from federation.protocol.registration import TicketTerms, receive_request
from tests.mallory import reg1, signs_reg1
from tests.simulator import CLOUD_ID


class Applying:
    """Somebody applies; each step may be changed."""

    def __init__(self, federation, member, role, evidence, ticket, **changes):
        self.federation, self.member, self.role = federation, member, role
        now = federation.clock.now
        self.applicant = replace(member.applicant(role, evidence, ticket, now=now), **changes)
        self.waiting, self.opening = self.applicant.apply(
            federation.entropy(16), federation.cloud.encryption_key(), now=now
        )
        self.terms = TicketTerms(role, member.identity) if ticket else None

    def accept(self, opening=None, **changes):
        received = receive_request(opening or self.opening, self.federation.cloud.epochs, CLOUD_ID)
        arguments = {"challenge_holds": True, "ticket": self.terms, "live": None, **changes}
        return received.accept(self.federation.cloud.verifier(), **arguments, now=self.federation.clock.now)

    def changed(self, change, *, sign=True):
        signs = signs_reg1(self.applicant.signing_key) if sign else lambda _: None
        return reg1(self.federation).change(self.opening, change, signs)

    def answer(self, **changes):
        federation, now = self.federation, self.federation.clock.now
        accepted = self.accept(**changes)
        serial = federation.entropy(16)
        credential = accepted.credential(serial, now=now)
        issued = federation.cloud.keys.issuing.issue(credential)
        signing_key = federation.cloud.keys.signing_key
        revocations = federation.cloud.excerpt(serial_entry(serial))
        return accepted.answer(credential, issued, signing_key, revocations, now=now)[1]

    def receive(self, reply):
        crls = (self.federation.authority.crl(),)
        anchors, now = self.federation.cloud.anchors, self.federation.clock.now
        return self.waiting.receive(reply, anchors, crls, self.member.freshness, now=now)
