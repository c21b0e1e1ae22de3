package example.medunion.client.protocol;

/**
 * What a side brings to a handshake (eq. 11, 16, 33, 38): r, whose base is the receiver's R_X1, and e, on which forward secrecy rests. Two
 * rules without which K1 falls: r and e are independent scalars; and an r serves one base, once, and never B. So both are drawn here, and
 * nothing else gets at them.
 */
final class Ephemeral {
  private final AgreementKey r;
  private final AgreementKey e;
  private final byte[] agreementPoint;
  private final byte[] ephemeralPoint;

  /** Draws r and e for one message to the party of that R_X1. */
  Ephemeral(VerifiedParty receiver, Entropy entropy) {
    r = AgreementKey.software(Curve.scalar(entropy.draw(Curve.SCALAR_SEED_BYTES)));
    e = AgreementKey.software(Curve.scalar(entropy.draw(Curve.SCALAR_SEED_BYTES)));
    agreementPoint = r.exchange(Curve.registrationPointOver(receiver.registrationPoint()));
    ephemeralPoint = e.exchange(Curve.BASE_POINT);
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
  byte[] agree(VerifiedParty receiver, String label) {
    return r.agree(receiver.publicPoint(), label, agreementPoint);
  }

  /** Z = x(e e' B). */
  byte[] exchange(byte[] peerEphemeralPoint) {
    return e.exchange(Curve.pointOver(peerEphemeralPoint));
  }
}
