"""What somebody may do: grants, proofs, departments, records."""

from federation.errors.families import Authentication, Authorization, FederationError, NotFound


class ProofInvalid(Authentication):
    """The HMAC under K_X does not verify: the sender does not share K_X with the receiver (X7)."""

    reason = "PROOF_INVALID"


class AnswerMismatch(Authentication):
    """An answer to another question (C2)."""

    reason = "ANSWER_MISMATCH"


class CommitmentMismatch(Authentication):
    """c_P does not open to this patient, grant and scope (X5, C7)."""

    reason = "COMMITMENT_MISMATCH"


class GrantMissing(Authorization):
    """No grant: no record (C1)."""

    reason = "GRANT_MISSING"


class GrantInvalid(Authorization):
    """The grant is not this patient's signature, or not for this doctor."""

    reason = "GRANT_INVALID"


class GrantExpired(Authorization):
    """The grant is not yet, or no longer, valid."""

    reason = "GRANT_EXPIRED"


class GrantRevoked(Authorization):
    """The patient took the grant back."""

    reason = "GRANT_REVOKED"


class GrantScope(Authorization):
    """The grant does not cover this hospital, department class or right."""

    reason = "GRANT_SCOPE"


class EmergencyNotSupported(Authorization):
    """Emergencies are not served in this release."""

    reason = "EMERGENCY_NOT_SUPPORTED"


class DepartmentForeign(Authorization):
    """A hospital publishes for a department that is not its own (C10)."""

    reason = "DEPARTMENT_FOREIGN"


class RoleForbidden(Authorization):
    """The method is not for this caller."""

    reason = "ROLE_FORBIDDEN"


class MethodNotServed(FederationError):
    """This port does not serve the method."""

    reason = "METHOD_NOT_SERVED"


class NoSuchRecord(NotFound):
    """Not on file, or no such record: one answer for both."""

    reason = "NO_SUCH_RECORD"


class RecordWithdrawn(NotFound):
    """The record is withdrawn: on file, and given to nobody."""

    reason = "RECORD_WITHDRAWN"


class RecordErased(NotFound):
    """The record was erased; its key is destroyed."""

    reason = "RECORD_ERASED"


class NoSuchRoom(NotFound):
    """No such room, or it has expired."""

    reason = "NO_SUCH_ROOM"


class Refused(Authorization):
    """The peer refused, and says no more than that."""

    reason = "REFUSED_BY_PEER"
