package example.medunion.client.keys;

import example.medunion.client.protocol.Refusal;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * Which token, through which module: RFC 7512, narrowed to what selects one token safely. Never a slot number, which moves; the
 * module by an absolute path, so that no search path decides which code gets the PIN; and no PIN, for that comes from
 * --pin-file.
 */
record TokenUri(String module, Map<String, String> names) {
  private static final String SCHEME = "pkcs11:";
  private static final Set<String> NAMES = Set.of("token", "serial", "manufacturer", "model");

  /**
   * Reads a URI such as `pkcs11:token=chen?module-path=/usr/lib/softhsm/libsofthsm2.so`. Refuses with TOKEN_URI_INVALID,
   * without repeating it.
   */
  static TokenUri parse(String text) {
    String[] halves = text.substring(Math.min(SCHEME.length(), text.length())).split("\\?", 2);
    Map<String, String> names = attributes(halves[0], ";", NAMES);
    Map<String, String> query = attributes(halves.length == 2 ? halves[1] : "", "&", Set.of("module-path"));
    String module = query.getOrDefault("module-path", "");
    boolean selective = names.containsKey("token") || names.containsKey("serial");
    // It stands in the provider's configuration, where other characters mean something.
    boolean absolute = module.matches("/[A-Za-z0-9_./+-]+");
    require(text.startsWith(SCHEME) && selective && absolute);
    return new TokenUri(module, names);
  }

  private static Map<String, String> attributes(String text, String separator, Set<String> known) {
    Map<String, String> found = new HashMap<>();
    for (String part : text.isEmpty() ? new String[0] : text.split(separator, -1)) {
      String[] pair = part.split("=", 2);
      require(pair.length == 2 && known.contains(pair[0]) && !pair[1].isEmpty());
      require(found.put(pair[0], decoded(pair[1])) == null);
    }
    return found;
  }

  private static String decoded(String value) {
    try {
      return URLDecoder.decode(value.replace("+", "%2B"), StandardCharsets.UTF_8);
    } catch (IllegalArgumentException error) {
      throw invalid();
    }
  }

  private static void require(boolean condition) {
    if (!condition) {
      throw invalid();
    }
  }

  private static Refusal invalid() {
    return new Refusal(
        "TOKEN_URI_INVALID", "a token's URI reads pkcs11:token=LABEL?module-path=/PATH, with no PIN and no slot in it");
  }
}
