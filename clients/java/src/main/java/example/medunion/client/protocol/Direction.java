package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.SessionFrame;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * One direction of a session under E_SEK, and the sequence of its next frame: it starts at 0 and must be exactly the next (B12). Sealing
 * moves it on, so that no sequence is sealed twice.
 */
public final class Direction {
  /** Four seconds on a line of 128 kbit/s: a slice is fresh, and comes in a call's time. */
  private static final int SLICE_BYTES = 64 * 1024;
  private static final int MOST_SLICE_BYTES = 1024 * 1024;
  private static final int TAG_BITS = 128;

  private final byte[] sessionId;
  private final SessionKeys.DirectionKeys keys;
  private long sequence;

  public Direction(byte[] sessionId, SessionKeys.DirectionKeys keys) {
    this(sessionId, keys, 0);
  }

  private Direction(byte[] sessionId, SessionKeys.DirectionKeys keys, long sequence) {
    this.sessionId = sessionId;
    this.keys = keys;
    this.sequence = sequence;
  }

  /** The number of the next frame. */
  long sequence() {
    return sequence;
  }

  /** The direction after its next frame, which may also be one that never comes. */
  Direction after() {
    return new Direction(sessionId, keys, sequence + 1);
  }

  /** Seals the next frame: the message that ends it all, which is padded here. */
  public SessionFrame seal(String name, byte[] message, long sentAt) {
    return seal(name, Padding.pad(message), true, sentAt);
  }

  private SessionFrame seal(String name, byte[] plaintext, boolean last, long sentAt) {
    byte[] sealed;
    try {
      sealed = cipher(Cipher.ENCRYPT_MODE, name, last, sentAt).doFinal(plaintext);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
    return SessionFrame.newBuilder()
        .setSessionId(ByteString.copyFrom(sessionId))
        .setSequence(sequence++)
        .setLast(last)
        .setSealed(ByteString.copyFrom(sealed))
        .setSentAt(sentAt)
        .build();
  }

  /**
   * Opens the next frame: gives a slice with what pads it, or the message of one that says `last` without. Say `advance` once what is inside is
   * accepted: a refusal leaves the sequence where it was.
   */
  public byte[] open(String name, SessionFrame frame) {
    Rules.check(frame);
    require(Bytes.equal(frame.getSessionId(), sessionId), "SESSION_UNKNOWN", "the frame belongs to another session");
    boolean next = frame.getSequence() == sequence;
    require(next, "OUT_OF_ORDER", "frame " + frame.getSequence() + " came where " + sequence + " is next");
    // The JDK's cipher takes what is shorter than a tag for a fault of its own.
    require(frame.getSealed().size() >= TAG_BITS / 8, "SEAL_INVALID", "the frame's seal is cut short");
    try {
      Cipher cipher = cipher(Cipher.DECRYPT_MODE, name, frame.getLast(), frame.getSentAt());
      byte[] plaintext = cipher.doFinal(frame.getSealed().toByteArray());
      return frame.getLast() ? Padding.unpad(plaintext) : requireSlice(plaintext);
    } catch (GeneralSecurityException error) {
      throw new Refusal("SEAL_INVALID", "the frame does not open", error);
    }
  }

  /** The frame that was opened is taken: another one is next. */
  public void advance() {
    sequence++;
  }

  /** Seals content || zeros in slices, then the message that signs it, in the frame that says `last`. */
  public List<SessionFrame> sealContent(String name, byte[] content, byte[] message, long sentAt) {
    byte[] padded = Arrays.copyOf(content, (int) Padding.padded(content.length));
    List<SessionFrame> frames = new ArrayList<>();
    for (int offset = 0; offset < padded.length; offset += SLICE_BYTES) {
      byte[] slice = Arrays.copyOfRange(padded, offset, Math.min(padded.length, offset + SLICE_BYTES));
      frames.add(seal(name, slice, false, sentAt));
    }
    frames.add(seal(name, message, sentAt));
    return frames;
  }

  private static byte[] requireSlice(byte[] plaintext) {
    require(plaintext.length > 0, "FIELD_INVALID", "a slice is empty");
    require(plaintext.length <= MOST_SLICE_BYTES, "MESSAGE_TOO_LARGE", "a slice has " + plaintext.length + " bytes");
    return plaintext;
  }

  private Cipher cipher(int mode, String name, boolean last, long sentAt) throws GeneralSecurityException {
    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(mode, new SecretKeySpec(keys.key(), "AES"), new GCMParameterSpec(TAG_BITS, nonce()));
    // T(name, session id, sequence, T, last).
    Transcript bound = Transcript.of(name).add(sessionId).add(sequence).add(sentAt).add(last ? 1 : 0);
    cipher.updateAAD(bound.bytes());
    return cipher;
  }

  /** iv xor the 12-byte big-endian sequence. */
  private byte[] nonce() {
    byte[] nonce = keys.iv().clone();
    byte[] counter = Bytes.u64(sequence);
    for (int index = 0; index < counter.length; index++) {
      nonce[nonce.length - counter.length + index] ^= counter[index];
    }
    return nonce;
  }
}
