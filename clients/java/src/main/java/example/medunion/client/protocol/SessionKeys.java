package example.medunion.client.protocol;

import static example.medunion.client.protocol.Transcript.field;

/**
 * The keys of a session, SEK_1 or SEK_2 (eq. 17, 22, 39, 44; B5, B13): initiator to responder, responder to initiator, and kc (32 bytes).
 */
public record SessionKeys(DirectionKeys forward, DirectionKeys backward, byte[] keyConfirmation) {
  /** Key (32 bytes) and iv (12 bytes) of one direction. */
  public record DirectionKeys(byte[] key, byte[] iv) {
    @Override
    public String toString() {
      return "DirectionKeys";
    }
  }

  /** Eq. 17's two inputs: K = S_own R_peer + r_own U_peer and Z = r_own R_peer. */
  public record Shared(byte[] k, byte[] z) {
    /** Computes both; the first product is the token's. */
    public static Shared agree(RegistrationSecret own, byte[] peerEphemeral, byte[] ownScalar, VerifiedParty peer) {
      byte[] product = own.agree(peerEphemeral);
      byte[] k = Group.add(product, Group.multiply(ownScalar, peer.publicPoint()));
      return new Shared(k, Group.multiply(ownScalar, peerEphemeral));
    }

    @Override
    public String toString() {
      return "Shared";
    }
  }

  /** Derives the session's keys. `roles` is the initiator's letter and the responder's: "PD" for SEK_1, "DH" for SEK_2. */
  public static SessionKeys derive(Shared shared, byte[] first, byte[] second, byte[] transcriptHash, String roles) {
    byte[] material = Bytes.concat(field(shared.k()), field(shared.z()), field(first), field(second));
    byte[] extracted = Bytes.hmac(transcriptHash, material);
    String there = roles.charAt(0) + ">" + roles.charAt(1);
    String back = roles.charAt(1) + ">" + roles.charAt(0);
    return new SessionKeys(
        direction(extracted, transcriptHash, there),
        direction(extracted, transcriptHash, back),
        expand(extracted, transcriptHash, "kc_" + roles.charAt(1), 32));
  }

  private static DirectionKeys direction(byte[] extracted, byte[] hash, String name) {
    return new DirectionKeys(expand(extracted, hash, "k_" + name, 32), expand(extracted, hash, "iv_" + name, 12));
  }

  private static byte[] expand(byte[] extracted, byte[] hash, String name, int size) {
    return Bytes.expand(extracted, Transcript.of("key").add(name).add(hash).bytes(), size);
  }

  @Override
  public String toString() {
    return "SessionKeys";
  }
}
