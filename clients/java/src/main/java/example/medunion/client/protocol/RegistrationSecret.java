package example.medunion.client.protocol;

/**
 * S_X as an X25519 key, in a token or not. A token gives u-coordinates alone; the full point S_X R is recovered from two derives and U_X
 * (docs/protocol.md, 1; tests/vectors/full_point.json).
 */
public record RegistrationSecret(X25519Key key, byte[] publicPoint) {
  /** S_X of its 32 bytes, in software. */
  public static RegistrationSecret software(byte[] secret, byte[] publicPoint) {
    return new RegistrationSecret(X25519Key.software(Group.tokenForm(secret)), publicPoint);
  }

  /** The full point S_X R for a received R (eq. 17, 22, 39, 44). */
  public byte[] agree(byte[] point) {
    Group.requireReceivedPoint(point);
    return Group.recoverPoint(derive(point), derive(Group.add(point, Group.BASE_POINT)), publicPoint);
  }

  /** u(S_X R), 32 bytes. */
  public byte[] derive(byte[] point) {
    return key.exchange(Group.uCoordinate(point));
  }

  /** K_X = HKDF-SHA256(ikm = u(S_X PK), no salt, info = T("shared", ID_X, serial), 32 bytes): X and the issuer can make it. */
  public byte[] sharedKey(VerifiedParty self) {
    byte[] info = Transcript.of("shared").add(self.identity()).add(self.serial()).bytes();
    return Bytes.hkdf(derive(self.issuer()), info, 32);
  }

  @Override
  public String toString() {
    return "RegistrationSecret";
  }
}
