package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Message;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SealedReply;
import java.nio.ByteBuffer;
import java.util.Arrays;

/** E_PUK around a payload: padding, and the two outer forms (docs/protocol.md, 1). */
public final class Sealing {
  public static final int VERSION = 1;

  private static final int PADDING_STEP = 256;

  private Sealing() {}

  /** An opening, and the exact bytes of the message inside. */
  public record Sent(SealedOpening opening, byte[] plaintext) {}

  /** Seals a payload as an opening. */
  public static Sent seal(Message payload, byte[] encryptionKey, Context context) {
    byte[] plaintext = Statements.serialised(payload);
    byte[] padded = pad(payload.getDescriptorForType(), plaintext);
    SealedOpening opening =
        SealedOpening.newBuilder()
            .setVersion(VERSION)
            .setSessionId(ByteString.copyFrom(context.sessionId()))
            .setKeyId(ByteString.copyFrom(context.keyId()))
            .setSealed(ByteString.copyFrom(Hpke.seal(encryptionKey, padded, context.info())))
            .setSentAt(context.sentAt())
            .build();
    return new Sent(opening, plaintext);
  }

  /** Seals a payload as a reply. */
  public static SealedReply reply(Message payload, byte[] encryptionKey, Context context) {
    byte[] padded = pad(payload.getDescriptorForType(), Statements.serialised(payload));
    return SealedReply.newBuilder()
        .setSessionId(ByteString.copyFrom(context.sessionId()))
        .setSealed(ByteString.copyFrom(Hpke.seal(encryptionKey, padded, context.info())))
        .setSentAt(context.sentAt())
        .build();
  }

  /** Opens, parses, and requires the T inside to be the T outside (B2). */
  public static <M extends Message> Opened<M> open(
      M type, ByteString sealed, Hpke.DecryptionKey key, Context context) {
    byte[] padded = key.open(sealed.toByteArray(), context.info());
    byte[] plaintext = unpad(type.getDescriptorForType(), padded);
    M payload = Rules.parse(type, plaintext);
    Object inside = payload.getField(type.getDescriptorForType().findFieldByName("sent_at"));
    Freshness.requireSameTime((Long) inside, context.sentAt());
    return new Opened<>(payload, plaintext);
  }

  /**
   * Decides what the clear fields of an opening decide, precisely: rules, version, T, key id, size of the session id. Gives the key that it
   * is sealed to.
   */
  public static Hpke.DecryptionKey findKey(SealedOpening opening, Party receiver, long now) {
    Rules.check(opening);
    boolean spoken = opening.getVersion() == VERSION;
    require(spoken, "UNSUPPORTED_VERSION", "version " + opening.getVersion() + " is not spoken here");
    Freshness.requireFresh(opening.getSentAt(), now);
    Hpke.DecryptionKey key = receiver.decryptionKey(opening.getKeyId().toByteArray());
    require(opening.getSessionId().size() == 16, "FIELD_INVALID", "the session id has not 16 bytes");
    return key;
  }

  /** F(message) || zeros: to the fixed size of its definition, or to a multiple of 256 bytes. */
  private static byte[] pad(Descriptor type, byte[] message) {
    byte[] framed = Transcript.field(message);
    int fixed = Rules.payloadRule(type).getPaddedSize();
    int size = fixed != 0 ? fixed : (framed.length + PADDING_STEP - 1) / PADDING_STEP * PADDING_STEP;
    require(framed.length <= size, "MESSAGE_TOO_LARGE", type.getName() + " has " + framed.length + " bytes");
    return Arrays.copyOf(framed, size);
  }

  private static byte[] unpad(Descriptor type, byte[] padded) {
    int fixed = Rules.payloadRule(type).getPaddedSize();
    long size = padded.length < 4 ? Long.MAX_VALUE : Integer.toUnsignedLong(ByteBuffer.wrap(padded).getInt());
    boolean stepped = padded.length % PADDING_STEP == 0 && (fixed == 0 || padded.length == fixed);
    boolean sized = stepped && size <= padded.length - 4;
    require(sized, "PADDING_INVALID", "the sealed plaintext has not the size of its definition");
    int end = 4 + (int) size;
    boolean brief = fixed != 0 || padded.length - end < PADDING_STEP;
    boolean zeros = Arrays.equals(padded, end, padded.length, new byte[padded.length - end], 0, padded.length - end);
    require(brief && zeros, "PADDING_INVALID", "the padding is not zeros to the next step");
    return Arrays.copyOfRange(padded, 4, end);
  }
}
