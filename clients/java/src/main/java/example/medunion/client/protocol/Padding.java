package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Padding under a session key: sizes on the wire tell a size class, at most 12 % wide, and no more (docs/protocol.md, 1). The classes are
 * Padme's, above one smallest class that all short messages share.
 */
final class Padding {
  private static final int SMALLEST_BYTES = 2048;

  private Padding() {}

  /** padded(n): 2,048, or n rounded up to a multiple of 2^(E - S) with E = floor(log2 n) and S = floor(log2 E) + 1. */
  static long padded(long size) {
    if (size <= SMALLEST_BYTES) {
      return SMALLEST_BYTES;
    }
    int exponent = 63 - Long.numberOfLeadingZeros(size);
    long step = 1L << (exponent - (32 - Integer.numberOfLeadingZeros(exponent)));
    return (size + step - 1) / step * step;
  }

  /** F(message) || zeros: the plaintext of a frame that says `last`. */
  static byte[] pad(byte[] message) {
    byte[] framed = Transcript.field(message);
    return Arrays.copyOf(framed, (int) padded(framed.length));
  }

  /** The message out of F(message) || zeros. */
  static byte[] unpad(byte[] plaintext) {
    require(plaintext.length >= Integer.BYTES, "PADDING_INVALID", "the frame holds no message");
    long end = Integer.BYTES + Integer.toUnsignedLong(ByteBuffer.wrap(plaintext).getInt());
    return Arrays.copyOfRange(content(plaintext, end), Integer.BYTES, (int) end);
  }

  /** The content, so many bytes of it, out of content || zeros. */
  static byte[] content(byte[] padded, long size) {
    requirePadded(padded.length, size);
    requireZeros(padded, (int) size);
    return Arrays.copyOf(padded, (int) size);
  }

  /** Requires that as many bytes came as a content of that size has with its padding. */
  static void requirePadded(long came, long size) {
    boolean sized = size >= 0 && size <= came && came == padded(size);
    require(sized, "PADDING_INVALID", "what is under the session key has not the size of its class");
  }

  /** Requires zeros from there on. */
  static void requireZeros(byte[] padded, int from) {
    int size = padded.length - from;
    boolean zeros = Arrays.equals(padded, from, padded.length, new byte[size], 0, size);
    require(zeros, "PADDING_INVALID", "the padding under the session key is not zeros");
  }
}
