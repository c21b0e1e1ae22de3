"""Registration, Chen et al. 2020, eq. 2-10: both sides.

reg1  X proves possession of PRK_X over the cloud's challenge and says who it is; a ticket, or Cert_D, says that it may (A2, A3).
      A member registers again by itself when its PK is rotated or its credential runs out: its live PRK_X says that it may.
reg2  The cloud signs M_X with s in its token: (R_X1, S_X); it states X's keys (KS_X), and X checks eq. 4, 7 or 10.
"""

from federation.protocol.registration.answer import CREDENTIAL_LIFE, AcceptedRequest, restate
from federation.protocol.registration.applicant import Applicant, AwaitingCredential, Registered
from federation.protocol.registration.request import LiveRegistration, ReceivedRequest, TicketTerms, receive_request
from federation.protocol.registration.transcripts import (
    answer_transcript,
    attribute_of,
    renewal_transcript,
    request_transcript,
)

__all__ = [
    "CREDENTIAL_LIFE",
    "AcceptedRequest",
    "Applicant",
    "AwaitingCredential",
    "LiveRegistration",
    "ReceivedRequest",
    "Registered",
    "TicketTerms",
    "answer_transcript",
    "attribute_of",
    "receive_request",
    "renewal_transcript",
    "request_transcript",
    "restate",
]
