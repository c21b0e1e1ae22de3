package example.medunion.client.protocol;

import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SignedStatement;
import org.bouncycastle.math.ec.ECPoint;

/**
 * Somebody whose CRED held: what others may use of it. `publicPoint` is U_X; `issuer` is the PK that signed its credential:
 * "PK" in what it signs; `authorityId` is the authority of a doctor whose Cert_D held, else null.
 */
public record VerifiedParty(
    Role role,
    String identity,
    byte[] serial,
    byte[] attribute,
    byte[] credential,
    byte[] registrationPoint,
    ECPoint publicPoint,
    byte[] verifyingKey,
    byte[] issuer,
    SignedStatement keyStatement,
    String authorityId) {
  /** The same, certified by this authority. */
  VerifiedParty certifiedBy(String authority) {
    return new VerifiedParty(
        role,
        identity,
        serial,
        attribute,
        credential,
        registrationPoint,
        publicPoint,
        verifyingKey,
        issuer,
        keyStatement,
        authority);
  }
}
