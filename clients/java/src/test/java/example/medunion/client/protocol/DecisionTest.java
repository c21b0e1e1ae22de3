package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.Power;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.Sensitivity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every row of tests/decisions is decided as it says. */
class DecisionTest {
  private static final Path TABLE = Path.of("..", "..", "tests", "decisions");
  private static final long EPOCH_SECONDS = 1_000_000_000;
  private static final int FEWEST_ROWS = 420;
  private static final ByteString ID = ByteString.copyFrom(new byte[16]);
  private static final Set<String> FACTS = Set.of("name", "source", "expect");

  /** A row: a cell for every column of the table. */
  private record Row(Map<String, String> cells) {
    String text(String column) {
      return cells.get(column);
    }

    /** A cell, or null where there is none. */
    String known(String column) {
      return text(column).equals("-") ? null : text(column);
    }

    List<String> listed(String column) {
      return text(column).equals("-") ? List.of() : List.of(text(column).split(" "));
    }

    boolean isSo(String column) {
      assertTrue(Set.of("yes", "no").contains(text(column)), column);
      return text(column).equals("yes");
    }

    long time(String column) {
      return (EPOCH_SECONDS + Long.parseLong(text(column))) * 1000;
    }

    Access.Validity validity(String what) {
      return new Access.Validity(time(what + ".not_before"), time(what + ".not_after"));
    }
  }

  @TestFactory
  Stream<DynamicTest> everyRow() throws IOException {
    Map<String, String> defaults = new HashMap<>();
    read(TABLE.resolve("defaults.csv")).forEach(row -> defaults.put(row.get("column"), row.get("default")));
    List<Path> files;
    try (Stream<Path> found = Files.list(TABLE)) {
      files =
          found.filter(path -> path.toString().endsWith(".csv") && !path.endsWith("defaults.csv")).sorted().toList();
    }
    List<Row> rows = files.stream().flatMap(file -> rows(file, defaults)).toList();
    assertTrue(rows.size() >= FEWEST_ROWS, rows.size() + " rows");
    return rows.stream()
        .map(row -> DynamicTest.dynamicTest(row.text("name"), () -> assertEquals(row.text("expect"), decided(row))));
  }

  private static Stream<Row> rows(Path file, Map<String, String> defaults) {
    return read(file).stream()
        .map(
            line -> {
              Map<String, String> cells = new HashMap<>(defaults);
              line.forEach(
                  (column, cell) -> {
                    assertTrue(defaults.containsKey(column) || FACTS.contains(column), file + " has " + column);
                    if (!cell.isEmpty()) {
                      cells.put(column, cell);
                    }
                  });
              return new Row(cells);
            });
  }

  private static List<Map<String, String>> read(Path file) {
    try {
      List<List<String>> lines =
          Files.readAllLines(file).stream().map(line -> List.of(line.split(",", -1))).toList();
      List<String> header = lines.get(0);
      return lines.stream().skip(1).map(line -> cells(header, line)).toList();
    } catch (IOException error) {
      throw new java.io.UncheckedIOException(error);
    }
  }

  private static Map<String, String> cells(List<String> header, List<String> line) {
    assertEquals(header.size(), line.size(), line.toString());
    Map<String, String> cells = new HashMap<>();
    for (int index = 0; index < header.size(); index++) {
      cells.put(header.get(index), line.get(index));
    }
    return cells;
  }

  private static String decided(Row row) {
    Decision decision = Decision.on(access(row), question(row), standing(row), policy(row), row.time("now"));
    if (decision instanceof Decision.Refused refused) {
      return refused.refusal().reason();
    }
    Decision.Allowed allowed = (Decision.Allowed) decision;
    String hospital = row.known("record.hospital");
    Sensitivity sensitivity = value(row.text("record.sensitivity"), Sensitivity.values());
    boolean shown =
        hospital == null || allowed.shows(hospital, row.text("record.class"), row.text("record.handle"), sensitivity);
    return shown ? allowed.ground() : "not-on-file";
  }

  private static Access access(Row row) {
    return switch (row.text("ground")) {
      case "consent" -> new Access.Consent(grant(row), deputyship(row), duty(row));
      case "own" -> new Access.Own(deputyship(row));
      case "emergency" -> emergency(row);
      case "none" -> null;
      default -> throw new AssertionError(row.text("ground"));
    };
  }

  private static Access.Grant grant(Row row) {
    return new Access.Grant(
        ID,
        row.text("grant.patient"),
        row.text("grant.signer"),
        grantee(row.listed("grant.grantee")),
        row.listed("grant.hospitals"),
        row.listed("grant.classes"),
        value(row.text("grant.highest"), Sensitivity.values()),
        row.listed("grant.rights").stream().map(word -> value(word, Right.values())).toList(),
        row.time("grant.stated_at"),
        row.validity("grant"));
  }

  private static Access.Grantee grantee(List<String> parts) {
    if (parts.isEmpty()) {
      return null;
    }
    return switch (parts.get(0) + parts.size()) {
      case "doctor3" -> new Access.ToDoctor(parts.get(1), parts.get(2));
      case "department3" -> new Access.ToDepartment(parts.get(1), parts.get(2));
      case "hospital2" -> new Access.ToHospital(parts.get(1));
      default -> throw new AssertionError(parts.toString());
    };
  }

  private static Access.Deputyship deputyship(Row row) {
    return row.known("deputyship.kind") == null
        ? null
        : new Access.Deputyship(
            row.text("deputyship.kind"),
            ID,
            null,
            row.text("deputyship.patient"),
            row.text("deputyship.deputy"),
            row.listed("deputyship.powers").stream().map(word -> value(word, Power.values())).toList(),
            row.time("deputyship.stated_at"),
            row.validity("deputyship"));
  }

  private static Access.Duty duty(Row row) {
    return row.known("duty.hospital") == null
        ? null
        : new Access.Duty(
            ID, row.text("duty.hospital"), row.text("duty.doctor"), row.listed("duty.classes"), row.validity("duty"));
  }

  private static Access.Emergency emergency(Row row) {
    return new Access.Emergency(
        ID,
        row.text("emergency.patient"),
        row.text("emergency.doctor"),
        row.text("emergency.hospital"),
        row.text("emergency.reason"),
        row.known("emergency.second"),
        row.validity("emergency"),
        duty(row));
  }

  private static Access.Question question(Row row) {
    Role role = value(row.text("asker.role"), Role.values());
    String right = row.known("question.right");
    return new Access.Question(
        new Access.Asker(role, row.text("asker.id"), row.known("asker.authority")),
        right == null ? null : value(right, Right.values()),
        row.text("question.patient"),
        row.known("question.hospital"),
        row.known("question.class"));
  }

  private static Access.Standing standing(Row row) {
    List<Access.Hidden> hidden =
        row.listed("standing.hidden").stream()
            .map(triple -> triple.split("/"))
            .map(parts -> new Access.Hidden(parts[0], parts[1], parts[2]))
            .toList();
    Set<String> revoked = Set.copyOf(row.listed("standing.revoked"));
    Set<String> exhausted = Set.copyOf(row.listed("standing.exhausted"));
    return new Access.Standing(revoked, hidden, row.isSo("standing.emergency_overrides"), exhausted);
  }

  private static Access.Policy policy(Row row) {
    Set<String> reasons = Set.copyOf(row.listed("policy.reasons"));
    Set<String> classes = Set.copyOf(row.listed("policy.duty_classes"));
    Access.EmergencyPolicy emergency = new Access.EmergencyPolicy(reasons, classes, row.isSo("policy.second"));
    return new Access.Policy(
        Long.parseLong(row.text("policy.skew")) * 1000, row.isSo("policy.emergency") ? emergency : null);
  }

  /** An enum's value by the end of its name; a number is one that nobody knows. */
  private static <E extends Enum<E>> E value(String word, E[] values) {
    String end = word.matches("[0-9]+") ? "UNRECOGNIZED" : "_" + word.toUpperCase(Locale.ROOT);
    return Stream.of(values).filter(value -> value.name().endsWith(end)).findFirst().orElseThrow();
  }
}
