package example.medunion.client.protocol;

/**
 * What a seal is bound to beside its content. `sender` is UNNAMED where the receiver can't know it yet: reg1, P1, D2, D3 and the single
 * calls.
 */
public record Context(String name, String sender, String receiver, byte[] keyId, byte[] sessionId, long sentAt) {
  public static final String UNNAMED = "";

  /** HPKE's info: T("hpke", message name, sender, receiver, key id, session id, T in clear). */
  public byte[] info() {
    return Transcript.of("hpke").add(name).add(sender).add(receiver).add(keyId).add(sessionId).add(sentAt).bytes();
  }
}
