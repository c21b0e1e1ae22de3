"""Who somebody is: key statements, credentials, certificates, registration."""

from federation.errors.families import Authentication, Authorization, Conflict, OutOfOrder, Unavailable


class IdentityMismatch(Authentication):
    """Two places that must name the same party don't, or it is not the one that was addressed."""

    reason = "IDENTITY_MISMATCH"


class CredentialInvalid(Authentication):
    """A key statement does not hold together: role, keys, credential, attribute."""

    reason = "CREDENTIAL_INVALID"


class CredentialExpired(Authentication):
    """A credential, key statement or encryption key is outside its validity."""

    reason = "CREDENTIAL_EXPIRED"


class CredentialRevoked(Authentication):
    """A credential or encryption key is on the revocation list."""

    reason = "CREDENTIAL_REVOKED"


class IssuerUnknown(CredentialInvalid):
    """No PK of the trust bundle at hand signed at the credential's time; the bundle may be older than the credential."""

    reason = "ISSUER_UNKNOWN"


class IssuerRevoked(CredentialRevoked):
    """The PK that signed the credential is revoked."""

    reason = "ISSUER_REVOKED"


class CloudKeyUnknown(Authentication):
    """No PUK_C of the trust bundle at hand signed at the statement's time; the bundle may be older than the statement."""

    reason = "CLOUD_KEY_UNKNOWN"


class CloudKeyRevoked(Authentication):
    """The PUK_C that signed the statement is revoked."""

    reason = "CLOUD_KEY_REVOKED"


class CertificateIllegal(Authentication):
    """Cert_D does not come from a medical authority of the federation, or is not a doctor's certificate."""

    reason = "CERTIFICATE_ILLEGAL"


class CertificateOutOfScope(Authentication):
    """Cert_D comes from a medical authority that may not certify this doctor."""

    reason = "CERTIFICATE_OUT_OF_SCOPE"


class CertificateExpired(Authentication):
    """Cert_D is outside its validity."""

    reason = "CERTIFICATE_EXPIRED"


class CertificateRevoked(Authentication):
    """Cert_D is on its authority's CRL."""

    reason = "CERTIFICATE_REVOKED"


class CertificateForeign(Authentication):
    """Cert_D is legal and somebody else's: another ID_D or another key."""

    reason = "CERTIFICATE_FOREIGN"


class StaleRevocationList(Unavailable):
    """No current revocation list or CRL is at hand; without one nothing is accepted."""

    reason = "REVOCATION_LIST_STALE"


class ChallengeInvalid(Authentication):
    """The registration challenge is unknown, used or too old."""

    reason = "CHALLENGE_INVALID"


class TicketInvalid(Authorization):
    """No such ticket, used, expired, or for somebody else (A3)."""

    reason = "TICKET_INVALID"


class AlreadyRegistered(Conflict):
    """The identity has a live registration (A3)."""

    reason = "ALREADY_REGISTERED"


class AttributeChanged(Authorization):
    """A member that registers again by itself may not change what its credential attests."""

    reason = "ATTRIBUTE_CHANGED"


class RenewalNotDue(OutOfOrder):
    """The member's live credential is good, or it has had too many: it registers again later, and it is nobody's fault."""

    reason = "RENEWAL_NOT_DUE"


class CredentialLive(Conflict):
    """A live credential falls with its identity, not by its serial: that identity could neither act nor register again."""

    reason = "CREDENTIAL_LIVE"


class NotRegistered(Authentication):
    """The sender has no live registration."""

    reason = "NOT_REGISTERED"
