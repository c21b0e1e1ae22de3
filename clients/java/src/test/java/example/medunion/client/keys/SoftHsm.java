package example.medunion.client.keys;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * Real PKCS#11 tokens for tests. SoftHSM reads its settings and its tokens when it is loaded, once for all tests of this JVM:
 * so they are all made here, before that.
 */
final class SoftHsm {
  static final String PIN = "a PIN of the token";

  private static final List<String> LABELS = List.of("contract", "patient", "faults", "sweep", "twice", "twice");
  private static final Path CONFIGURATION = Path.of(System.getenv("SOFTHSM2_CONF"));
  private static final Path MODULE = module();

  static {
    makeTokens();
  }

  private SoftHsm() {}

  /** The URI of a token. */
  static String uri(String label) {
    return "pkcs11:token=" + label + "?module-path=" + MODULE;
  }

  private static void makeTokens() {
    try {
      Path tokens = Files.createTempDirectory(CONFIGURATION.getParent(), "tokens");
      Files.writeString(CONFIGURATION, "directories.tokendir = " + tokens + "\nlog.level = ERROR\n");
      for (String label : LABELS) {
        List<String> command =
            List.of("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "the officer's", "--pin", PIN);
        int code = new ProcessBuilder(command).inheritIO().redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor();
        if (code != 0) {
          throw new AssertionError("softhsm2-util ended with " + code);
        }
      }
    } catch (IOException error) {
      throw new UncheckedIOException("the token's tests need SoftHSM: install softhsm2", error);
    } catch (InterruptedException error) {
      throw new AssertionError(error);
    }
  }

  /** SoftHSM's library: $SOFTHSM2_MODULE, else where distributions put it. */
  private static Path module() {
    return Stream.of(
            System.getenv("SOFTHSM2_MODULE"),
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
            "/usr/lib64/libsofthsm2.so",
            "/usr/local/lib/softhsm/libsofthsm2.so")
        .filter(Objects::nonNull)
        .map(Path::of)
        .filter(Files::exists)
        .findFirst()
        .orElseThrow(() -> new AssertionError("the token's tests need SoftHSM: install softhsm2, or set SOFTHSM2_MODULE"));
  }
}
