package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import org.bouncycastle.math.ec.ECPoint;

/** S_X, in a token or not, with the R_X1 and U_X that it belongs to: x(S_X R_X1) = x(U_X). */
public record RegistrationSecret(AgreementKey key, byte[] registrationPoint, ECPoint publicPoint) {
  public static RegistrationSecret of(AgreementKey key, VerifiedParty self) {
    return new RegistrationSecret(key, self.registrationPoint(), self.publicPoint());
  }

  /** agree(S_X, Q, label, fields) with a received point, by its x-coordinate (eq. 17, 22, 39, 44). */
  public byte[] agree(byte[] point, String label, byte[]... fields) {
    return key.agree(Curve.pointOver(point), label, fields);
  }

  /** K_X = agree(S_X, Q(T("shared", ID_X, serial)), "shared", ID_X, serial): X has it, and the cloud. */
  public byte[] sharedKey(String identity, byte[] serial) {
    byte[] named = Bytes.text(identity);
    ECPoint point = Curve.hashToCurve(Transcript.of("shared").add(named).add(serial).bytes());
    return key.agree(point, "shared", named, serial);
  }

  /** Refuses an S_X that is not of this credential, where it now lies. */
  public void requireConsistent() {
    byte[] product = key.exchange(Curve.registrationPointOver(registrationPoint));
    require(Bytes.equal(product, Curve.x(publicPoint)), "CREDENTIAL_MISMATCH", "S_X is not of this credential");
  }

  @Override
  public String toString() {
    return "RegistrationSecret";
  }
}
