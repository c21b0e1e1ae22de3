package example.medunion.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.google.gson.JsonParser;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is typed is looked at before anything is opened: here there is no home that could be. */
class MainTest {
  @TempDir Path root;

  private final PrintStream out = System.out;
  private final PrintStream err = System.err;
  private final ByteArrayOutputStream said = new ByteArrayOutputStream();

  @BeforeEach
  void listen() {
    System.setOut(new PrintStream(said));
    System.setErr(new PrintStream(new ByteArrayOutputStream()));
  }

  @AfterEach
  void stop() {
    System.setOut(out);
    System.setErr(err);
  }

  private int run(List<String> words, String... others) {
    List<String> all = new ArrayList<>(words);
    all.addAll(List.of(others));
    return Main.run(all.toArray(String[]::new));
  }

  private String reason(List<String> words, String... others) {
    said.reset();
    assertEquals(1, run(words, others));
    return JsonParser.parseString(said.toString()).getAsJsonObject().get("reason").getAsString();
  }

  private List<String> consult(String department, String hospital, String address, String conclusion) {
    return List.of(
        "doctor", "consult", "--directory", root.resolve("none").toString(), "--pin-file", root.resolve("pin").toString(),
        "--department", department, "--hospital", hospital, "--address", address, "--conclusion", conclusion);
  }

  private List<String> visit(int observationBytes, String hours) throws IOException {
    Path observation = Files.write(root.resolve("observation"), new byte[observationBytes]);
    return List.of(
        "patient", "visit", "--directory", root.resolve("none").toString(), "--pin-file", root.resolve("pin").toString(),
        "--observation", observation.toString(), "--hours", hours, "--yes", "medunion://code");
  }

  @Test
  void formsOfAConsultationAreChecked() {
    assertEquals("FILE_UNUSABLE", reason(consult("cardiology", "H:b", "localhost:1", "well")));
    assertEquals(2, run(consult("Cardiology!", "H:b", "localhost:1", "well")));
    assertEquals(2, run(consult("cardiology", "b", "localhost:1", "well")));
    assertEquals(2, run(consult("cardiology", "H:b", "unix-abstract:evil:1", "well")));
    assertEquals(2, run(consult("cardiology", "H:b", "localhost:99999", "well")));
    assertEquals(2, run(consult("cardiology", "H:b", "localhost:1", "well"), "--fetch-at-most", "0"));
    assertEquals(2, run(consult("cardiology", "H:b", "localhost:1", "well"), "--dial-only", "10.0.0.0"));
    assertEquals(2, run(consult("cardiology", "H:b", "localhost:1", "well"), "--grace-hours", "72.5"));
    assertEquals(2, run(consult("cardiology", "H:b", "localhost:1", "well"), "--grace-hours", "-1"));
  }

  @Test
  void conclusionThatNoReportHoldsIsSaidAtOnce() {
    for (String conclusion : List.of("", " \n\u3000", "vertical\u000btab", "\u0000", "\ud800", "<".repeat(917_504))) {
      assertEquals("FHIR_INVALID", reason(consult("cardiology", "H:b", "localhost:1", conclusion)));
    }
    assertEquals("FILE_UNUSABLE", reason(consult("cardiology", "H:b", "localhost:1", "first\n\tsecond\u00a0é\r\n")));
  }

  @Test
  void whatWouldBePassedOverIsSaid() throws IOException {
    assertEquals(2, run(consult("cardiology", "H:b", "localhost:1", "Sinus"), "rhythm"));
    assertEquals(2, run(consult("cardiology", "H:b", "localhost:1", "well"), "--observation", "file"));
    assertEquals(2, run(consult("cardiology", "H:b", "localhost:1", "well"), "--save"));
    assertEquals(2, run(visit(1, "1"), "another"));
    assertEquals(2, run(visit(1, "1"), "--deposit"));
    assertEquals(2, run(List.of("patient", "visit")));
    assertEquals(2, run(List.of("patient")));
    assertEquals(0, run(List.of("patient", "--help")));
  }

  @Test
  void placesThatCantBeWrittenAreSaidAtOnce() throws IOException {
    Path file = Files.createFile(root.resolve("file"));
    List<String> words = consult("cardiology", "H:b", "localhost:1", "well");
    assertEquals("FILE_UNUSABLE", reason(words, "--save", file.resolve("in").toString()));
    assertEquals("FILE_UNUSABLE", reason(words, "--code-file", root.resolve("none").resolve("code").toString()));
    assertEquals("FILE_UNUSABLE", reason(words, "--code-file", root.toString()));
    assertFalse(Files.exists(root.resolve("none")));
  }

  @Test
  void hoursOfAGrantAreBounded() throws IOException {
    for (String hours : List.of("0", "0.0000001", "8785", "-1", "NaN", "1e3", "one", "0x1p3", "", "24 ")) {
      assertEquals(2, run(visit(1, hours)), hours);
    }
    assertEquals("FILE_UNUSABLE", reason(visit(1, "8784")));
    assertEquals("FILE_UNUSABLE", reason(visit(1, "0.5")));
  }

  @Test
  void observationThatNobodyCouldKeepIsSaidAtOnce() throws IOException {
    assertEquals("FILE_UNUSABLE", reason(visit(16 * 1024 * 1024, "1"))); // of the home, which is none
    assertEquals("LIMIT_REACHED", reason(visit(16 * 1024 * 1024 + 1, "1")));
  }

  @Test
  void whatIsConsentedToIsWellFormedAndRead() throws IOException {
    List<String> visit = visit(1, "1");
    for (String whom : List.of("doctor", "department", "department:cardiology", "hospital")) {
      assertEquals("FILE_UNUSABLE", reason(visit, "--for", whom), whom);
    }
    for (String whom : List.of("nurse", "department:", "department:Cardiology!", "doctor:cardiology", "D:chen", "")) {
      assertEquals(2, run(visit, "--for", whom), whom);
    }
    assertEquals("FILE_UNUSABLE", reason(visit, "--read", "here", "--read", "H:b", "--read", "everywhere"));
    assertEquals(2, run(visit, "--read", "b"));
    assertEquals(2, run(visit, "--department", "*"));
    assertEquals("FILE_UNUSABLE", reason(visit, "--department", "cardiology", "--no-keep", "--restricted"));
    List<String> unanswered = visit.stream().filter(word -> !word.equals("--yes")).toList();
    assertEquals(2, run(unanswered)); // nobody can answer here
  }

  @Test
  void whatIsTakenBackIsNamedOneWay() {
    List<String> revoke =
        List.of(
            "patient", "revoke", "--directory", root.resolve("none").toString(), "--pin-file", root.resolve("pin").toString());
    assertEquals("FILE_UNUSABLE", reason(revoke, "1", "2"));
    assertEquals("FILE_UNUSABLE", reason(revoke, "--last"));
    assertEquals("FILE_UNUSABLE", reason(revoke, "--all"));
    assertEquals(2, run(revoke));
    assertEquals(2, run(revoke, "1", "--all"));
    assertEquals(2, run(revoke, "--last", "--all"));
    for (String number : List.of("0", "-1", "one", "1.5", "12345678901")) {
      assertEquals(2, run(revoke, number), number);
    }
  }

  @Test
  void ticketIsTheFirstLineOfAFileOrOfStandardInput() throws IOException {
    String ticket = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AA3U";
    Path file = root.resolve("ticket");
    InputStream before = System.in;
    try {
      for (String written : List.of(ticket + "\nof tomorrow\n", ticket)) {
        Files.writeString(file, written);
        System.setIn(new ByteArrayInputStream(written.getBytes(StandardCharsets.UTF_8)));
        for (String named : List.of(file.toString(), "-")) {
          String[] words = {"patient", "register", "--ticket-file", named};
          assertEquals(ticket, new Arguments(words).line("ticket-file"));
        }
      }
      Files.writeString(file, " ".repeat(5000));
      String[] words = {"patient", "register", "--ticket-file", file.toString()};
      assertEquals(1024, new Arguments(words).line("ticket-file").length());
    } finally {
      System.setIn(before);
    }
  }

  @Test
  void identitiesAreThoseOfTheirRole() {
    for (String identity : List.of("D:wang", "wang", "P:", "P:w ng", "P:wang\n")) {
      List<String> words =
          List.of("patient", "register", "--ticket-file", "-", "--identity", identity);
      assertEquals(2, run(words), identity);
    }
    assertEquals(2, run(List.of("doctor", "init", "--identity", "P:chen")));
  }
}
