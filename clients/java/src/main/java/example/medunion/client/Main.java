package example.medunion.client;

import com.google.gson.GsonBuilder;
import example.medunion.client.calls.Calls;
import example.medunion.client.calls.Cloud;
import example.medunion.client.calls.DoctorClient;
import example.medunion.client.calls.DoctorCode;
import example.medunion.client.calls.FetchedRecord;
import example.medunion.client.calls.Home;
import example.medunion.client.calls.PatientClient;
import example.medunion.client.calls.Upkeep;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.DoctorSide;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Grants;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Search;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.RecordEntry;
import example.medunion.federation.v1.RecordPart;
import example.medunion.federation.v1.Right;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The command line of clients/README.md: one JSON object on stdout, words for people on stderr. */
public final class Main {
  private static final String USAGE =
      """
      usage:
        patient register --home DIR --trust FILE --id P:name --sensor FILE --ticket TEXT
        patient visit    --home DIR --sensor FILE --observation FILE [--hours N] CODE
        patient renew    --home DIR
        doctor init      --home DIR --trust FILE --id D:name
        doctor register  --home DIR --certificate FILE
        doctor consult   --home DIR --hospital H:name --address HOST:PORT --department CLASS --conclusion TEXT
                         [--code-file FILE] [--save DIR] [--deposit]
        doctor renew     --home DIR
      every command needs --pin-file FILE, mode 0600
      renew begins the next epoch of the encryption key; visit and consult do so a day before the present one ends
      """;
  private static final Set<String> VALUES =
      Set.of(
          "home", "trust", "id", "sensor", "ticket", "observation", "hours", "certificate", "hospital", "address",
          "department", "conclusion", "code-file", "save", "pin-file");
  private static final Duration RECEIPT = Duration.ofSeconds(30);

  private final Entropy entropy = Entropy.system();
  private final Map<String, String> values = new HashMap<>();
  private final List<String> words = new ArrayList<>();
  private boolean deposit;
  private boolean help;

  private Main(String[] arguments) {
    for (int index = 0; index < arguments.length; index++) {
      String word = arguments[index];
      if (!word.startsWith("--")) {
        words.add(word);
      } else if (word.equals("--deposit")) {
        deposit = true;
      } else if (word.equals("--help")) {
        help = true;
      } else if (VALUES.contains(word.substring(2)) && index + 1 < arguments.length) {
        values.put(word.substring(2), arguments[++index]);
      } else {
        throw new UsageException("there is no option " + word + ", or it lacks its value");
      }
    }
  }

  private static final class UsageException extends RuntimeException {
    UsageException(String sentence) {
      super(sentence);
    }
  }

  /** Exit code 0: done; 1: refused, with the reason; 2: wrong usage. */
  public static void main(String[] arguments) {
    System.exit(run(arguments));
  }

  private static int run(String[] arguments) {
    try {
      Main main = new Main(arguments);
      if (main.help) {
        System.out.print(USAGE);
      } else {
        say(main.command());
      }
      return 0;
    } catch (UsageException error) {
      System.err.println(error.getMessage() + "\n" + USAGE);
      return 2;
    } catch (Refusal refusal) {
      System.err.println(said(refusal));
      say(Map.of("reason", refusal.reason()));
      return 1;
    } catch (UncheckedIOException error) {
      System.err.println("A file can't be used: " + error.getMessage());
      say(Map.of("reason", "FILE_UNUSABLE"));
      return 1;
    }
  }

  private Map<String, Object> command() {
    return switch (String.join(" ", words.subList(0, Math.min(2, words.size())))) {
      case "patient register" -> registerPatient();
      case "patient visit" -> visit();
      case "doctor init" -> initDoctor();
      case "doctor register" -> registerDoctor();
      case "doctor consult" -> consult();
      case "patient renew", "doctor renew" -> renew();
      default -> throw new UsageException("there is no such command");
    };
  }

  private Map<String, Object> registerPatient() {
    byte[] ticket = Enrolment.parseTicket(needed("ticket"));
    // Where an earlier registration was cut short, its home is there.
    Home home = Home.exists(path("home")) ? open() : create();
    String identity = needed("id");
    Refusal.require(home.identity().equals(identity), "PROFILE_UNUSABLE", home.identity() + " is at home there");
    return register(home, home.biometricPassword(path("sensor")), ticket);
  }

  private Map<String, Object> initDoctor() {
    Home home = create();
    Path request = path("home").resolve("certificate-request.der");
    PrivateFiles.writeNew(request, Enrolment.certificateRequest(home.identity(), home.keys().signingKey()));
    return Map.of("request", request.toString());
  }

  private Map<String, Object> registerDoctor() {
    return register(open(), read("certificate"), null);
  }

  private Map<String, Object> register(Home home, byte[] evidence, byte[] ticket) {
    try (Cloud cloud = new Cloud(home.bundle())) {
      return Map.of("identity", home.identity(), "serial", hex(cloud.register(home, evidence, ticket, entropy)));
    }
  }

  private Map<String, Object> renew() {
    Home home = open();
    home.sweep(System.currentTimeMillis(), entropy);
    try (Cloud cloud = new Cloud(home.bundle())) {
      EncryptionKeyStatement begun = cloud.renew(home, entropy);
      return Map.of(
          "identity", home.identity(),
          "key_id", hex(begun.getKeyId().toByteArray()),
          "not_after", begun.getNotAfter());
    }
  }

  private Map<String, Object> visit() {
    Home home = open();
    DoctorCode code = DoctorCode.parse(words.size() > 2 ? words.get(2) : "");
    Duration life = Duration.ofMinutes(Math.round(60 * Double.parseDouble(values.getOrDefault("hours", "24"))));
    byte[] password = home.biometricPassword(path("sensor"));
    byte[] observation = read("observation");
    Upkeep.keepUp(home, entropy, Main::tell);
    PatientClient.Visit visit =
        new PatientClient(home, entropy, Main::tell).visit(code, password, observation, Grants.Terms.everything(life));
    return Map.of(
        "doctor", visit.doctorId(),
        "grant", hex(visit.grantId().toByteArray()),
        "conclusion", Report.conclusionOf(visit.diagnosis()));
  }

  private Map<String, Object> consult() {
    String department = needed("department");
    String conclusion = needed("conclusion");
    String hospital = needed("hospital");
    String address = needed("address");
    Home home = open();
    Upkeep.keepUp(home, entropy, Main::tell);
    try (DoctorClient client = DoctorClient.open(home, hospital, address, entropy)) {
      tell("Show this code to your patient: " + client.code().written());
      if (values.containsKey("code-file")) {
        writeWhole(path("code-file"), client.code().written() + "\n");
      }
      DoctorSide.InConsultation consultation =
          client.awaitPatient(reason -> tell("Somebody was refused (" + reason + "); still waiting."));
      String patient = consultation.asked().patient().identity();
      tell(patient + " is here; both sides have proved who they are.");
      List<FetchedRecord> records = readRecords(client, consultation);
      String doctor = consultation.asked().doctor().identity();
      List<byte[]> digests = records.stream().map(FetchedRecord::digest).toList();
      byte[] report = Report.of(patient, doctor, conclusion, digests);
      DoctorSide.AwaitingReceipt diagnosed = client.diagnose(consultation, report, records);
      String handle = deposited(client, diagnosed, department);
      Map<String, Object> said = new LinkedHashMap<>();
      said.put("patient", patient);
      byte[] biosignal = consultation.biosignal();
      said.put("biosignal", Map.of("size", biosignal.length, "sha256", hex(Bytes.sha256(biosignal))));
      said.put("records", records.stream().flatMap(record -> described(record).stream()).toList());
      said.put("receipt", isAcknowledged(client, diagnosed));
      said.put("deposit", handle);
      return said;
    }
  }

  /**
   * Looks for records, fetches and saves them, as far as the consent goes. What can't be had or saved now is said, and the visit goes on: the
   * patient is waiting.
   */
  private List<FetchedRecord> readRecords(DoctorClient client, DoctorSide.InConsultation consultation) {
    if (!consultation.allows(Right.RIGHT_INDEX) || !consultation.allows(Right.RIGHT_READ)) {
      tell("Without consent to look for records, none is looked for.");
      return List.of();
    }
    List<FetchedRecord> records =
        client.fetch(
            consultation,
            places(client, consultation),
            (hospital, why) -> tell("RECORDS AT " + hospital + " ARE MISSING: " + said(why)));
    if (values.containsKey("save")) {
      records.forEach(this::save);
    }
    return records;
  }

  private void save(FetchedRecord record) {
    try {
      record.save(path("save"));
    } catch (Refusal refusal) {
      tell("A RECORD FROM " + record.manifest().getHospitalId() + " IS NOT SAVED WHOLE: " + refusal.getCause().getMessage());
    }
  }

  private String deposited(DoctorClient client, DoctorSide.AwaitingReceipt diagnosed, String department) {
    if (!deposit) {
      return null;
    }
    if (!diagnosed.consultation().allows(Right.RIGHT_WRITE)) {
      tell("Without consent to keep this encounter, it is not deposited.");
      return null;
    }
    return hex(client.deposit(diagnosed, department).toByteArray());
  }

  /** Whether P6 came: it is the patient's to give, and the diagnosis is sent without it. */
  private static boolean isAcknowledged(DoctorClient client, DoctorSide.AwaitingReceipt diagnosed) {
    try {
      return client.awaitReceipt(diagnosed, RECEIPT);
    } catch (Refusal refusal) {
      tell("No receipt came: " + said(refusal));
      return false;
    }
  }

  private static String said(Refusal refusal) {
    return refusal.getMessage() + " (" + refusal.preciseReason() + ")";
  }

  /** Where records are. Without the cloud the visit goes on, and the doctor hears that some may be missing. */
  private static List<Search.Place> places(DoctorClient client, DoctorSide.InConsultation consultation) {
    try {
      return client.search(consultation);
    } catch (Refusal refusal) {
      if (!Calls.passes(refusal)) {
        throw refusal;
      }
      tell("The public cloud could not be asked where records are: RECORDS FROM ELSEWHERE MAY BE MISSING.");
      return List.of();
    }
  }

  private static List<Map<String, Object>> described(FetchedRecord record) {
    String hospital = record.manifest().getHospitalId();
    return record.manifest().getRecordsList().stream().map(entry -> described(hospital, entry)).toList();
  }

  private static Map<String, Object> described(String hospital, RecordEntry entry) {
    return Map.of(
        "hospital", hospital,
        "handle", hex(entry.getHandle().toByteArray()),
        "department", entry.getDepartmentId(),
        "parts", entry.getPartsList().stream().map(Main::described).toList());
  }

  private static Map<String, Object> described(RecordPart part) {
    return Map.of(
        "name", part.getName(),
        "media_type", part.getMediaType(),
        "size", part.getSizeBytes(),
        "sha256", hex(part.getDigest().toByteArray()));
  }

  private Home create() {
    return Home.create(
        path("home"), needed("id"), path("trust"), path("pin-file"), entropy, System.currentTimeMillis());
  }

  private Home open() {
    return Home.open(path("home"), path("pin-file"));
  }

  private Path path(String name) {
    return Path.of(needed(name));
  }

  private byte[] read(String name) {
    try {
      return Files.readAllBytes(path(name));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private String needed(String name) {
    if (!values.containsKey(name)) {
      throw new UsageException("--" + name + " is missing");
    }
    return values.get(name);
  }

  /** Writes a file that others wait for: it is there whole, or not at all. */
  private static void writeWhole(Path path, String content) {
    Path partial = path.resolveSibling(path.getFileName() + ".partial");
    PrivateFiles.writeNew(partial, content.getBytes(StandardCharsets.UTF_8));
    try {
      Files.move(partial, path, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static String hex(byte[] data) {
    return HexFormat.of().formatHex(data);
  }

  private static void tell(String sentence) {
    System.err.println(sentence);
  }

  private static void say(Map<String, ?> said) {
    System.out.println(new GsonBuilder().serializeNulls().create().toJson(said));
  }
}
