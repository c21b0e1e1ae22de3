package example.medunion.client;

import example.medunion.client.calls.Home;
import example.medunion.client.calls.Networks;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Rules;
import example.medunion.federation.v1.Kind;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What was typed: the command's two words, what follows them, options with their values. */
final class Arguments {
  /** What each command may be given, beside what every one is. */
  private static final Map<String, Set<String>> OPTIONS =
      Map.ofEntries(
          Map.entry("patient register", Set.of("trust", "identity", "simulated-sensor", "ticket-file", "token")),
          Map.entry(
              "patient visit",
              Set.of(
                  "simulated-sensor", "observation", "for", "read", "no-keep", "department", "restricted", "hours", "yes", "stay")),
          Map.entry("patient grants", Set.of()),
          Map.entry("patient revoke", Set.of("last", "all")),
          Map.entry("patient records", Set.of("save", "fetch-at-most")),
          Map.entry("patient accesses", Set.of()),
          Map.entry("patient renew", Set.of()),
          Map.entry("doctor init", Set.of("trust", "identity", "token")),
          Map.entry("doctor register", Set.of("certificate")),
          Map.entry(
              "doctor consult",
              Set.of("hospital", "address", "department", "conclusion", "amend", "code-file", "save", "fetch-at-most", "deposit")),
          Map.entry("doctor renew", Set.of()));

  private static final Set<String> EVERYWHERE = Set.of("directory", "pin-file", "dial-only", "grace-hours");
  private static final int MOST_LINE = 1024;
  private static final double LONGEST_GRACE_HOURS = 72;
  private static final Set<String> FLAGS = Set.of("deposit", "no-keep", "restricted", "yes", "last", "all");

  private final Map<String, List<String>> values = new HashMap<>();
  private final List<String> words = new ArrayList<>();
  private boolean help;

  /** What was typed is no command; its usage is shown. */
  static final class UsageException extends RuntimeException {
    UsageException(String sentence) {
      super(sentence);
    }
  }

  Arguments(String[] arguments) {
    for (int index = 0; index < arguments.length; index++) {
      String word = arguments[index];
      if (!word.startsWith("--")) {
        words.add(word);
      } else if (word.equals("--help")) {
        help = true;
      } else if (FLAGS.contains(word.substring(2))) {
        values.put(word.substring(2), List.of());
      } else if (index + 1 < arguments.length) {
        values.computeIfAbsent(word.substring(2), name -> new ArrayList<>()).add(arguments[++index]);
      } else {
        throw new UsageException(word + " lacks its value");
      }
    }
    if (!help) {
      requireKnown();
    }
  }

  /** Refuses what the command would pass over: a conclusion without quotes is cut short. */
  private void requireKnown() {
    if (!OPTIONS.containsKey(command())) {
      throw new UsageException("there is no such command");
    }
    for (String name : values.keySet()) {
      if (!OPTIONS.get(command()).contains(name) && !EVERYWHERE.contains(name)) {
        throw new UsageException(command() + " has no option --" + name);
      }
    }
    int expected = command().equals("patient visit") ? 1 : 0;
    if (!command().equals("patient revoke") && operands().size() != expected) {
      throw new UsageException("a word is missing or too many: text with spaces needs quotes");
    }
  }

  boolean isHelp() {
    return help;
  }

  /** Its two words, as "patient visit". */
  String command() {
    return String.join(" ", words.subList(0, Math.min(2, words.size())));
  }

  /** The words after these. */
  List<String> operands() {
    return words.subList(Math.min(2, words.size()), words.size());
  }

  boolean has(String name) {
    return values.containsKey(name);
  }

  /** All values of an option. */
  List<String> all(String name) {
    return values.getOrDefault(name, List.of());
  }

  /** The value of an option; of several the last. */
  String needed(String name) {
    List<String> given = all(name);
    if (given.isEmpty()) {
      throw new UsageException("--" + name + " is missing");
    }
    return given.get(given.size() - 1);
  }

  String orElse(String name, String usual) {
    return has(name) ? needed(name) : usual;
  }

  /** An option that has the form of its kind. */
  String formed(String name, Kind kind) {
    String value = needed(name);
    requireForm(name, Rules.hasForm(kind, value));
    return value;
  }

  static void requireForm(String name, boolean fits) {
    if (!fits) {
      throw new UsageException("--" + name + " has not the form that it needs");
    }
  }

  Path path(String name) {
    return Path.of(needed(name));
  }

  byte[] read(String name) {
    try {
      return Files.readAllBytes(path(name));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** The first line of the file that is named, or of standard input for `-`: whoever lists processes sees what they were given. */
  String line(String name) {
    try (InputStream source = needed(name).equals("-") ? System.in : Files.newInputStream(path(name))) {
      ByteArrayOutputStream line = new ByteArrayOutputStream();
      for (int next = source.read(); next >= 0 && next != '\n' && line.size() < MOST_LINE; next = source.read()) {
        line.write(next);
      }
      return line.toString(StandardCharsets.UTF_8);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  Networks networks() {
    try {
      return Networks.parse(all("dial-only"));
    } catch (Refusal refusal) {
      throw new UsageException("--dial-only: " + refusal.getMessage());
    }
  }

  /** For how long a revocation list that is over counts on. */
  Duration grace() {
    if (!has("grace-hours")) {
      return Home.USUAL_GRACE;
    }
    String written = needed("grace-hours");
    double hours = written.matches("[0-9]{1,2}([.][0-9]{1,6})?") ? Double.parseDouble(written) : -1;
    if (hours < 0 || hours > LONGEST_GRACE_HOURS) {
      throw new UsageException("--grace-hours lies between 0 and 72");
    }
    return Duration.ofMillis(Math.round(hours * Duration.ofHours(1).toMillis()));
  }

  /** A number above 0, of at most so many digits before the point. */
  double number(String name, String usual, int digits, long most) {
    String written = orElse(name, usual);
    double number = written.matches("[0-9]{1," + digits + "}([.][0-9]{1,6})?") ? Double.parseDouble(written) : 0;
    if (number == 0 || number > most) {
      throw new UsageException("--" + name + " is a number above 0, at most " + most);
    }
    return number;
  }
}
