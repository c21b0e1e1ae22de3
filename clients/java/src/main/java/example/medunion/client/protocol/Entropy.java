package example.medunion.client.protocol;

import java.security.SecureRandom;

/** Fresh randomness: so many uniform bytes. A parameter of every step that needs it, so that vectors can fix it. */
@FunctionalInterface
public interface Entropy {
  byte[] draw(int size);

  /** The system's. */
  static Entropy system() {
    SecureRandom random = new SecureRandom();
    return size -> {
      byte[] drawn = new byte[size];
      random.nextBytes(drawn);
      return drawn;
    };
  }
}
