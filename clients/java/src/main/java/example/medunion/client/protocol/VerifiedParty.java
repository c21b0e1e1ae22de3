package example.medunion.client.protocol;

import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SignedStatement;
import org.bouncycastle.math.ec.ECPoint;

/**
 * Somebody whose CRED held: what others may use of it. `publicPoint` is U_X; `issuer` is the PK that signed its credential:
 * "PK" in what it signs.
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
    SignedStatement keyStatement) {}
