package example.medunion.client.keys;

import example.medunion.client.protocol.Refusal;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.Provider;
import java.security.ProviderException;
import java.security.Security;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What a module says of its slots and tokens before anybody logs in. SunPKCS11 picks a token by the number of its slot alone
 * and has no method for its label, but its option `showInfo` prints all of it to standard output; so that is read.
 */
record TokenInfo(int index, Map<String, String> fields) {
  private static final String TOKEN = "Token info";
  private static final String ALL_SLOTS = "All slots: ";
  private static final Map<String, String> FIELDS =
      Map.of("token", "label", "serial", "serialNumber", "manufacturer", "manufacturerID", "model", "model");

  /** The one token that the URI names. Refuses with TOKEN_NOT_FOUND, or TOKEN_UNAVAILABLE for a module that can't be loaded. */
  static TokenInfo find(TokenUri uri) {
    List<TokenInfo> fitting = new ArrayList<>();
    for (int index = 0, slots = 1; index < slots; index++) {
      String told = shown(uri.module(), index);
      if (index == 0) {
        slots = slotsIn(told);
      }
      TokenInfo info = read(index, told);
      if (uri.names().entrySet().stream().allMatch(name -> name.getValue().equals(info.field(FIELDS.get(name.getKey()))))) {
        fitting.add(info);
      }
    }
    Refusal.require(fitting.size() == 1, "TOKEN_NOT_FOUND", fitting.size() + " tokens are what the URI names");
    return fitting.get(0);
  }

  /**
   * Refuses with PIN_LOCKED or PIN_FINAL_TRY if the token says that a login is no use, or may be the last: a program does not
   * spend a person's last try.
   */
  void requireSafeLogin() {
    List<String> flags = Arrays.asList(field("flags").split(" \\| "));
    Refusal.require(!flags.contains("CKF_USER_PIN_LOCKED"), "PIN_LOCKED", "the PIN of the token is locked");
    boolean more = !flags.contains("CKF_USER_PIN_FINAL_TRY");
    Refusal.require(more, "PIN_FINAL_TRY", "the token allows one more try: log in by its maker's tool first");
  }

  private String field(String name) {
    return fields.getOrDefault(name, "");
  }

  /** Reads what is printed of the token in a slot; of a slot without one nothing is. */
  static TokenInfo read(int index, String told) {
    Map<String, String> fields = new HashMap<>();
    boolean ofToken = false;
    for (String line : told.split("\n")) {
      boolean indented = line.startsWith("  ");
      ofToken = indented ? ofToken : line.startsWith(TOKEN);
      String[] pair = line.split(": ", 2);
      if (indented && ofToken && pair.length == 2) {
        fields.putIfAbsent(pair[0].strip(), pair[1].strip());
      }
    }
    return new TokenInfo(index, fields);
  }

  private static int slotsIn(String told) {
    return told.lines()
        .filter(line -> line.startsWith(ALL_SLOTS))
        .findFirst()
        .map(line -> line.substring(ALL_SLOTS.length()).split(", ").length)
        .orElseThrow(() -> new Refusal("TOKEN_UNAVAILABLE", "the PKCS#11 module can't be loaded"));
  }

  private static synchronized String shown(String module, int index) {
    ByteArrayOutputStream told = new ByteArrayOutputStream();
    PrintStream out = System.out;
    System.setOut(new PrintStream(told, true, StandardCharsets.UTF_8));
    try {
      configured(module, index, "showInfo = true");
    } catch (Refusal refusal) {
      // A token that nobody has initialised yet stops the provider; what was printed before counts.
    } finally {
      System.setOut(out);
    }
    return told.toString(StandardCharsets.UTF_8);
  }

  /** SunPKCS11 for one slot of a module. It is not put among the JVM's providers: nothing but these keys is its affair. */
  static Provider configured(String module, int index, String options) {
    Provider sun = Security.getProvider("SunPKCS11");
    Refusal.require(sun != null, "TOKEN_UNAVAILABLE", "this Java runtime has no SunPKCS11");
    String settings = String.join("\n", "--name = medunion", "library = " + module, "slotListIndex = " + index, options, "");
    try {
      return sun.configure(settings);
    } catch (ProviderException | IllegalArgumentException error) {
      throw new Refusal("TOKEN_UNAVAILABLE", "the PKCS#11 module or its token can't be used", error);
    }
  }
}
