package example.medunion.client;

import com.google.gson.GsonBuilder;
import example.medunion.client.calls.Cloud;
import example.medunion.client.calls.DoctorClient;
import example.medunion.client.calls.DoctorCode;
import example.medunion.client.calls.FetchedRecord;
import example.medunion.client.calls.Home;
import example.medunion.client.calls.Networks;
import example.medunion.client.calls.PatientClient;
import example.medunion.client.calls.Maintenance;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Consultation;
import example.medunion.client.protocol.DoctorCertificate;
import example.medunion.client.protocol.DoctorSide;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Grants;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Rules;
import example.medunion.client.protocol.Search;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.Kind;
import example.medunion.federation.v1.RecordEntry;
import example.medunion.federation.v1.RecordPart;
import example.medunion.federation.v1.Right;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.logging.Level;
import java.util.logging.Logger;

/** The command line of clients/README.md: one JSON object on stdout, words for people on stderr. */
public final class Main {
  private static final String USAGE =
      """
      usage:
        patient register --home DIR --trust FILE --id P:name --sensor FILE --ticket TEXT [--token URI]
        patient visit    --home DIR --sensor FILE --observation FILE [--hours N] CODE
        patient renew    --home DIR
        doctor init      --home DIR --trust FILE --id D:name [--token URI]
        doctor register  --home DIR --certificate FILE
        doctor consult   --home DIR --hospital H:name --address HOST:PORT --department CLASS --conclusion TEXT
                         [--code-file FILE] [--save DIR] [--fetch-at-most N] [--deposit]
        doctor renew     --home DIR
      every command needs --pin-file FILE, mode 0600
      --token keeps the keys in the PKCS#11 token of an RFC 7512 URI, as pkcs11:token=LABEL?module-path=/PATH; the PIN is then the token's
      --certificate is DER or PEM; an observation has at most 16 MiB, and its patient's consent ends after --hours, at most 8784
      --fetch-at-most is how many megabytes of records one visit takes: 256, for they are held in memory
      --dial-only 10.0.0.0/8 with any command, again for more: nothing outside them is dialled
      renew begins the next epoch of the encryption key; visit and consult do so a day before the present one ends
      """;
  /** What each command may be given, beside what every one is. */
  private static final Map<String, Set<String>> OPTIONS =
      Map.of(
          "patient register", Set.of("trust", "id", "sensor", "ticket", "token"),
          "patient visit", Set.of("sensor", "observation", "hours"),
          "patient renew", Set.of(),
          "doctor init", Set.of("trust", "id", "token"),
          "doctor register", Set.of("certificate"),
          "doctor consult",
              Set.of("hospital", "address", "department", "conclusion", "code-file", "save", "fetch-at-most", "deposit"),
          "doctor renew", Set.of());

  private static final Set<String> EVERYWHERE = Set.of("home", "pin-file");
  private static final long MOST_FETCHED_MEGABYTES = 10_000_000;
  private static final Logger GRPC = Logger.getLogger("io.grpc");
  private static final Duration RECEIPT = Duration.ofSeconds(60);

  private final Entropy entropy = Entropy.system();
  private final Map<String, String> values = new HashMap<>();
  private final List<String> networks = new ArrayList<>();
  private final List<String> words = new ArrayList<>();
  private final String command;
  private boolean help;

  private Main(String[] arguments) {
    for (int index = 0; index < arguments.length; index++) {
      String word = arguments[index];
      if (!word.startsWith("--")) {
        words.add(word);
      } else if (word.equals("--help")) {
        help = true;
      } else if (word.equals("--deposit")) {
        values.put("deposit", "");
      } else if (word.equals("--dial-only") && index + 1 < arguments.length) {
        networks.add(arguments[++index]);
      } else if (index + 1 < arguments.length) {
        values.put(word.substring(2), arguments[++index]);
      } else {
        throw new UsageException(word + " lacks its value");
      }
    }
    command = String.join(" ", words.subList(0, Math.min(2, words.size())));
    if (!help) {
      requireKnown();
    }
  }

  /** Refuses what the command would pass over: a conclusion without quotes is cut short. */
  private void requireKnown() {
    if (!OPTIONS.containsKey(command)) {
      throw new UsageException("there is no such command");
    }
    for (String name : values.keySet()) {
      if (!OPTIONS.get(command).contains(name) && !EVERYWHERE.contains(name)) {
        throw new UsageException(command + " has no option --" + name);
      }
    }
    if (words.size() != (command.equals("patient visit") ? 3 : 2)) {
      throw new UsageException("a word is missing or too many: text with spaces needs quotes");
    }
  }

  private static final class UsageException extends RuntimeException {
    UsageException(String sentence) {
      super(sentence);
    }
  }

  /** Exit code 0: done; 1: refused, with the reason; 2: wrong usage. */
  public static void main(String[] arguments) {
    // gRPC logs what peers say, as they say it.
    GRPC.setLevel(Level.OFF);
    System.exit(run(arguments));
  }

  static int run(String[] arguments) {
    try {
      Main main = new Main(arguments);
      if (main.help) {
        System.out.print(USAGE);
      } else {
        say(main.command());
      }
      return 0;
    } catch (UsageException error) {
      tell(error.getMessage());
      System.err.print(USAGE);
      return 2;
    } catch (Refusal refusal) {
      tell(said(refusal));
      say(Map.of("reason", refusal.reason()));
      return 1;
    } catch (UncheckedIOException error) {
      tell("A file can't be used: " + error.getMessage());
      say(Map.of("reason", "FILE_UNUSABLE"));
      return 1;
    }
  }

  private Map<String, Object> command() {
    return switch (command) {
      case "patient register" -> registerPatient();
      case "patient visit" -> visit();
      case "doctor init" -> initDoctor();
      case "doctor register" -> registerDoctor();
      case "doctor consult" -> consult();
      case "patient renew", "doctor renew" -> renew();
      default -> throw new IllegalStateException(command);
    };
  }

  private Map<String, Object> registerPatient() {
    byte[] ticket = Enrolment.parseTicket(needed("ticket"));
    String identity = formed("id", Kind.KIND_PATIENT_ID);
    // Where an earlier registration was cut short, its home is there.
    Home home = Home.exists(path("home")) ? open() : create(identity);
    Refusal.require(home.identity().equals(identity), "PROFILE_UNUSABLE", home.identity() + " is at home there");
    return register(home, home.biometricPassword(path("sensor")), ticket);
  }

  private Map<String, Object> initDoctor() {
    Home home = create(formed("id", Kind.KIND_DOCTOR_ID));
    Path request = path("home").resolve("certificate-request.der");
    PrivateFiles.writeNew(request, Enrolment.certificateRequest(home.identity(), home.keys().signingKey()));
    return Map.of("request", request.toString());
  }

  private Map<String, Object> registerDoctor() {
    byte[] certificate = Enrolment.certificate(read("certificate"));
    Home home = open();
    byte[] key = home.keys().signingKey().verifyingKey();
    DoctorCertificate.requireOwner(DoctorCertificate.read(certificate), home.identity(), key);
    return register(home, certificate, null);
  }

  private Map<String, Object> register(Home home, byte[] evidence, byte[] ticket) {
    try (Cloud cloud = new Cloud(home)) {
      return Map.of("identity", home.identity(), "serial", hex(cloud.register(home, evidence, ticket, entropy)));
    }
  }

  private Map<String, Object> renew() {
    Home home = open();
    home.sweep(System.currentTimeMillis(), entropy);
    try (Cloud cloud = new Cloud(home)) {
      EncryptionKeyStatement begun = cloud.renew(home, entropy);
      return Map.of(
          "identity", home.identity(),
          "key_id", hex(begun.getKeyId().toByteArray()),
          "not_after", begun.getNotAfter());
    }
  }

  private Map<String, Object> visit() {
    Duration life = life();
    byte[] observation = observation();
    Home home = open();
    DoctorCode code = DoctorCode.parse(words.get(2));
    byte[] password = home.biometricPassword(path("sensor"));
    Maintenance.maintain(home, entropy, Main::tell);
    PatientClient.Visit visit =
        new PatientClient(home, entropy, Main::tell).visit(code, password, observation, Grants.Terms.everything(life));
    return Map.of(
        "doctor", visit.doctorId(),
        "grant", hex(visit.grantId().toByteArray()),
        "conclusion", Report.conclusionOf(visit.diagnosis()));
  }

  private Map<String, Object> consult() {
    // All of it now: once the room is open a patient may act on it.
    String department = formed("department", Kind.KIND_DEPARTMENT_CLASS);
    String conclusion = needed("conclusion");
    Report.requireConclusion(conclusion);
    String hospital = formed("hospital", Kind.KIND_HOSPITAL_ID);
    String address = formed("address", Kind.KIND_ADDRESS);
    long mostBytes = mostRecordBytes();
    requirePlaces();
    Home home = open();
    Maintenance.maintain(home, entropy, Main::tell);
    try (DoctorClient client = DoctorClient.open(home, hospital, address, department, entropy)) {
      tell("Show this code to your patient: " + client.code().written());
      if (values.containsKey("code-file")) {
        PrivateFiles.replace(path("code-file"), (client.code().written() + "\n").getBytes(StandardCharsets.UTF_8));
      }
      DoctorSide.InConsultation consultation =
          client.awaitPatient(reason -> tell("Somebody was refused (" + reason + "); still waiting."));
      String patient = consultation.patientId();
      tell(patient + " is here; both sides have proved who they are.");
      List<FetchedRecord> records = readRecords(client, consultation, mostBytes);
      String doctor = consultation.session().own().identity();
      List<byte[]> digests = records.stream().map(FetchedRecord::digest).toList();
      byte[] report = Report.of(patient, doctor, conclusion, digests);
      DoctorSide.AwaitingReceipt diagnosed = client.diagnose(consultation, report, records);
      Refusal undeposited = null;
      String handle = null;
      try {
        handle = deposited(client, diagnosed);
      } catch (Refusal refusal) {
        tell("The diagnosis is sent. THE ENCOUNTER IS NOT DEPOSITED: " + said(refusal));
        undeposited = refusal; // told in the end: P6 is awaited first
      }
      boolean receipt = isAcknowledged(client, diagnosed);
      if (undeposited != null) {
        throw undeposited;
      }
      Map<String, Object> said = new LinkedHashMap<>();
      said.put("patient", patient);
      byte[] biosignal = consultation.biosignal();
      said.put("biosignal", Map.of("size", biosignal.length, "sha256", hex(Bytes.sha256(biosignal))));
      said.put("records", records.stream().flatMap(record -> described(record).stream()).toList());
      said.put("receipt", receipt);
      said.put("deposit", handle);
      return said;
    }
  }

  /**
   * Looks for records, fetches and saves them, as far as the consent goes. What can't be had or saved now is said, and the visit goes on: the
   * patient is waiting.
   */
  private List<FetchedRecord> readRecords(
      DoctorClient client, DoctorSide.InConsultation consultation, long mostBytes) {
    if (!consultation.access().allows(Right.RIGHT_INDEX) || !consultation.access().allows(Right.RIGHT_READ)) {
      tell("Without consent to look for records, none is looked for.");
      return List.of();
    }
    return client.fetch(
        consultation,
        locations(client, consultation),
        mostBytes,
        new DoctorClient.Fetching() {
          @Override
          public void taken(FetchedRecord record) {
            if (values.containsKey("save")) {
              save(record);
            }
          }

          @Override
          public void missing(String hospitalId, Refusal why) {
            tell("RECORDS AT " + hospitalId + " ARE MISSING: " + said(why));
          }
        });
  }

  private void save(FetchedRecord record) {
    try {
      record.save(path("save"));
    } catch (Refusal refusal) {
      tell("A RECORD FROM " + record.manifest().getHospitalId() + " IS NOT SAVED WHOLE: " + refusal.getCause().getMessage());
    }
  }

  private String deposited(DoctorClient client, DoctorSide.AwaitingReceipt diagnosed) {
    if (!values.containsKey("deposit")) {
      return null;
    }
    if (!diagnosed.consultation().access().allows(Right.RIGHT_WRITE)) {
      tell("Without consent to keep this encounter, it is not deposited.");
      return null;
    }
    return hex(client.deposit(diagnosed).toByteArray());
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

  /** Where records are. Without an answer that can be taken the visit goes on, and the doctor hears that some may be missing. */
  private static List<Search.RecordLocation> locations(DoctorClient client, DoctorSide.InConsultation consultation) {
    try {
      return client.search(consultation, Main::tell);
    } catch (Refusal refusal) {
      tell("The public cloud did not say where records are, RECORDS FROM ELSEWHERE MAY BE MISSING: " + said(refusal));
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

  private Home create(String identity) {
    Path home = path("home");
    String token = values.get("token");
    return Home.create(home, identity, path("trust"), path("pin-file"), token, entropy, System.currentTimeMillis())
        .within(networks());
  }

  private Home open() {
    Networks allowed = networks();
    return Home.open(path("home"), path("pin-file")).within(allowed);
  }

  private Networks networks() {
    try {
      return Networks.parse(networks);
    } catch (Refusal refusal) {
      throw new UsageException("--dial-only: " + refusal.getMessage());
    }
  }

  /** How long the grant lives. */
  private Duration life() {
    String hours = values.getOrDefault("hours", "24");
    boolean number = hours.matches("[0-9]{1,4}([.][0-9]{1,6})?");
    Duration life = Duration.ofMillis(number ? Math.round(3_600_000 * Double.parseDouble(hours)) : 0);
    if (life.isZero() || life.compareTo(Grants.LONGEST_LIFE) > 0) {
      throw new UsageException("--hours is a number above 0, at most " + Grants.LONGEST_LIFE.toHours());
    }
    return life;
  }

  private long mostRecordBytes() {
    String written = values.getOrDefault("fetch-at-most", "256");
    boolean number = written.matches("[0-9]{1,8}([.][0-9]{1,6})?");
    double megabytes = number ? Double.parseDouble(written) : 0;
    if (megabytes == 0 || megabytes > MOST_FETCHED_MEGABYTES) {
      throw new UsageException("--fetch-at-most is a number above 0, at most " + MOST_FETCHED_MEGABYTES);
    }
    return Math.round(1_000_000 * megabytes);
  }

  private byte[] observation() {
    try {
      Consultation.requireBounded(Files.size(path("observation")));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return read("observation");
  }

  /** Requires that what is to be written can be. */
  private void requirePlaces() {
    try {
      if (values.containsKey("save")) {
        requireWritable(Files.createDirectories(path("save")));
      }
      if (values.containsKey("code-file")) {
        requireWritable(path("code-file").toAbsolutePath().getParent());
        Refusal.require(!Files.isDirectory(path("code-file")), "FILE_UNUSABLE", "--code-file is a directory");
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static void requireWritable(Path directory) {
    boolean writable = Files.isDirectory(directory) && Files.isWritable(directory);
    Refusal.require(writable, "FILE_UNUSABLE", "nothing can be written to " + directory);
  }

  /** An option that has the form of its kind. */
  private String formed(String name, Kind kind) {
    String value = needed(name);
    if (!Rules.hasForm(kind, value)) {
      throw new UsageException("--" + name + " has not the form that it needs");
    }
    return value;
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

  private static String hex(byte[] data) {
    return HexFormat.of().formatHex(data);
  }

  private static void tell(String sentence) {
    System.err.println(Shown.line(sentence));
  }

  private static void say(Map<String, ?> said) {
    System.out.println(Shown.json(new GsonBuilder().serializeNulls().create().toJson(said)));
  }
}
