package example.medunion.client.protocol;

/**
 * What a side brings to a handshake (eq. 11, 16, 33, 38): r, whose base is the receiver's R_X1, and e, on which forward secrecy
 * rests. Two rules without which K1 falls: r and e are independent scalars; and an r serves one base, once, and never B. So
 * both are drawn here, nothing else gets at them, and r is gone when it has served.
 */
final class Ephemeral {
  private final AgreementKey e;
  private final byte[] agreementPoint;
  private final byte[] ephemeralPoint;
  private final byte[] agreed;

  /**
   * Draws r and e for one message to a party. `label` says which of the two products r makes: "K1" is the initiator's, "K2" the
   * responder's.
   */
  Ephemeral(VerifiedParty receiver, String label, Entropy entropy) {
    AgreementKey r = drawn(entropy);
    e = drawn(entropy);
    agreementPoint = r.exchange(Curve.registrationPointOver(receiver.registrationPoint()));
    agreed = r.agree(receiver.publicPoint(), label, agreementPoint);
    ephemeralPoint = e.exchange(Curve.BASE_POINT);
  }

  private static AgreementKey drawn(Entropy entropy) {
    return AgreementKey.software(Curve.scalar(entropy.draw(Curve.SCALAR_SEED_BYTES)));
  }

  /** x(r R_X1) of the receiver. */
  byte[] agreementPoint() {
    return agreementPoint.clone();
  }

  /** x(e B). */
  byte[] ephemeralPoint() {
    return ephemeralPoint.clone();
  }

  /** agree(r, U, label, x(r R_X1)): what the receiver's S_X makes of the point that it was sent. */
  byte[] agreed() {
    return agreed.clone();
  }

  /** Z = x(e e' B). */
  byte[] exchange(byte[] peerEphemeralPoint) {
    return e.exchange(Curve.pointOver(peerEphemeralPoint));
  }
}
