package example.medunion.client.protocol;

import static example.medunion.client.protocol.Transcript.field;

/**
 * The keys of a session, SEK_1 or SEK_2 (eq. 17, 22, 39, 44; B5, B13): initiator to responder, responder to initiator, and kc
 * (32 bytes).
 */
public record SessionKeys(DirectionKeys forward, DirectionKeys backward, byte[] keyConfirmation) {
  /** Key (32 bytes) and iv (12 bytes) of one direction. */
  public record DirectionKeys(byte[] key, byte[] iv) {
    @Override
    public String toString() {
      return "DirectionKeys";
    }
  }

  /**
   * Eq. 17's two products, as two fields, and Z: K1 is what the responder's S_X makes of the initiator's point, K2 the other
   * way round, Z is x(e e' B). Each side's token makes one of the two.
   */
  public record Shared(byte[] k1, byte[] k2, byte[] z) {
    /** Of the initiator's own scalars, its S_X, and the responder's two points. */
    static Shared ofInitiator(Ephemeral own, RegistrationSecret secret, byte[] agreementPoint, byte[] ephemeralPoint) {
      byte[] k2 = secret.agree(agreementPoint, "K2", agreementPoint);
      return new Shared(own.agreed(), k2, own.exchange(ephemeralPoint));
    }

    /** Of the responder's own scalars, its S_X, and the initiator's two points. */
    static Shared ofResponder(Ephemeral own, RegistrationSecret secret, byte[] agreementPoint, byte[] ephemeralPoint) {
      byte[] k1 = secret.agree(agreementPoint, "K1", agreementPoint);
      return new Shared(k1, own.agreed(), own.exchange(ephemeralPoint));
    }

    @Override
    public String toString() {
      return "Shared";
    }
  }

  /** Derives the session's keys. `roles` is the initiator's letter and the responder's: "PD" for SEK_1, "DH" for SEK_2. */
  public static SessionKeys derive(Shared shared, byte[] first, byte[] second, byte[] transcriptHash, String roles) {
    byte[] agreed = Bytes.concat(field(shared.k1()), field(shared.k2()), field(shared.z()));
    byte[] material = Bytes.concat(agreed, field(first), field(second));
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
