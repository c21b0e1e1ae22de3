package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import example.medunion.federation.v1.SessionFrame;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Sizes on the wire. */
class PaddingTest {
  private static final SessionKeys.DirectionKeys KEYS = new SessionKeys.DirectionKeys(new byte[32], new byte[12]);

  @Test
  void sizesAreThoseOfTheirClass() {
    for (long size = 2049; size < 1L << 40; size += 1 + size / 7) {
      long padded = Padding.padded(size);
      assertTrue(padded >= size && padded - size <= 0.12 * size, size + " bytes");
      assertEquals(padded, Padding.padded(padded));
    }
  }

  @Test
  void messageIsTakenOnlyAsItIsPadded() {
    for (int size : new int[] {0, 1, 2044, 2045, 5000}) {
      byte[] message = new byte[size];
      Arrays.fill(message, (byte) 7);
      byte[] padded = Padding.pad(message);
      assertArrayEquals(message, Padding.unpad(padded));
      refuse(Arrays.copyOf(padded, padded.length + 1));
      refuse(Arrays.copyOf(padded, padded.length - 1));
      refuse(Arrays.copyOf(padded, 2 * padded.length));
    }
    byte[] talkative = Padding.pad(new byte[9]);
    talkative[talkative.length - 1] = 1;
    refuse(talkative);
    refuse(new byte[3]);
    byte[] longer = new byte[2048];
    Arrays.fill(longer, 0, 4, (byte) 0xff);
    refuse(longer);
  }

  @Test
  void contentTravelsInSlicesThatTellItsClassAlone() {
    byte[] session = new byte[16];
    for (int size : new int[] {0, 1, 2048, 524_288, 524_289, 1_200_000}) {
      byte[] content = new byte[size];
      Arrays.fill(content, (byte) 7);
      Direction receiving = new Direction(session, KEYS);
      List<SessionFrame> frames = new Direction(session, KEYS).sealContent("p2", content, new byte[5], 0);
      byte[] came = Bytes.EMPTY;
      for (SessionFrame frame : frames) {
        byte[] opened = receiving.open("p2", frame);
        assertEquals(frame == frames.get(frames.size() - 1), frame.getLast());
        if (!frame.getLast()) {
          assertTrue(opened.length <= 524_288);
          came = Bytes.concat(came, opened);
        }
        receiving.advance();
      }
      assertEquals(Padding.padded(size), came.length);
      assertArrayEquals(content, Padding.content(came, size));
      byte[] all = came;
      assertEquals("PADDING_INVALID", Vectors.outcome(() -> Padding.content(all, -1)));
      assertEquals("PADDING_INVALID", Vectors.outcome(() -> Padding.content(all, all.length + 1L)));
    }
  }

  private static void refuse(byte[] plaintext) {
    assertEquals("PADDING_INVALID", Vectors.outcome(() -> Padding.unpad(plaintext)));
  }
}
