package example.medunion.client;

import com.google.gson.GsonBuilder;
import example.medunion.client.Arguments.UsageException;
import example.medunion.client.calls.Cloud;
import example.medunion.client.calls.FetchedRecord;
import example.medunion.client.calls.Home;
import example.medunion.client.calls.Maintenance;
import example.medunion.client.calls.Networks;
import example.medunion.client.calls.PatientClient;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.DoctorCertificate;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.Kind;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;

/** The command line of clients/README.md: one JSON object on stdout, words for people on stderr. */
public final class Main {
  private static final String USAGE =
      """
      usage:
        patient register --directory DIR --trust FILE --identity P:name --simulated-sensor FILE --ticket-file FILE|- [--token URI]
        patient visit    --directory DIR --simulated-sensor FILE [--observation FILE] [--for WHOM] [--read WHERE]... [--no-keep]
                         [--department CLASS]... [--restricted] [--hours N] [--yes] [--stay SECONDS] CODE
        patient grants   --directory DIR
        patient revoke   --directory DIR NUMBER... | --last | --all
        patient records  --directory DIR [--save DIR] [--fetch-at-most N]
        patient accesses --directory DIR
        patient renew    --directory DIR
        doctor init      --directory DIR --trust FILE --identity D:name [--token URI]
        doctor register  --directory DIR --certificate FILE
        doctor consult   --directory DIR --hospital H:name --address HOST:PORT --department CLASS --conclusion TEXT
                         [--amend TEXT] [--code-file FILE] [--save DIR] [--fetch-at-most N] [--deposit]
        doctor renew     --directory DIR
      every command needs --pin-file FILE, mode 0600
      --token keeps the keys in the PKCS#11 token of an RFC 7512 URI, as pkcs11:token=LABEL?module-path=/PATH; the PIN is then the token's
      --certificate is DER or PEM; an observation has at most 16 MiB
      visit shows who is there and what you are about to sign, and asks, unless --yes has answered. Unless you say otherwise, the
        doctor's hospital may keep the record of the visit (--no-keep), and none of your records is read
      --for doctor (24 hours), department or department:CLASS (30 days), hospital (90 days): whoever is on duty there; --hours N, at most 8784
      --read here, everywhere or H:name: records there may be found and read; --department: of that class only; --restricted: restricted ones, too
      --fetch-at-most is how many megabytes of records one visit takes: 256, for they are held in memory
      --stay: so long after a diagnosis, for one that amends it; --amend: what is signed in the place of --conclusion, once that is answered
      --grace-hours with any command: going on so long after the end of the newest revocation list, by what stood before it: 1, at most 72
      --dial-only 10.0.0.0/8 with any command, again for more: nothing outside them is dialled
      renew begins the next epoch of the encryption key; visit and consult do so a day before the present one ends
      """;

  private static final Logger GRPC = Logger.getLogger("io.grpc");

  private final Entropy entropy = Entropy.system();
  private final Arguments arguments;
  private final List<Home> opened = new ArrayList<>();

  private Main(Arguments arguments) {
    this.arguments = arguments;
  }

  /** Exit code 0: done; 1: refused, with the reason; 2: wrong usage. */
  public static void main(String[] arguments) {
    // gRPC logs what peers say, as they say it.
    GRPC.setLevel(Level.OFF);
    System.exit(run(arguments));
  }

  static int run(String[] words) {
    try {
      Arguments arguments = new Arguments(words);
      if (arguments.isHelp()) {
        System.out.print(USAGE);
      } else {
        say(new Main(arguments).done());
      }
      return 0;
    } catch (UsageException error) {
      tell(error.getMessage());
      System.err.print(USAGE);
      return 2;
    } catch (Refusal refusal) {
      tell(refusal.plain());
      say(Map.of("reason", refusal.reason()));
      return 1;
    } catch (UncheckedIOException error) {
      tell("A file can't be used: " + error.getMessage());
      say(Map.of("reason", "FILE_UNUSABLE"));
      return 1;
    }
  }

  private Map<String, Object> done() {
    try {
      return command();
    } finally {
      opened.forEach(Home::close);
    }
  }

  private Map<String, Object> command() {
    return switch (arguments.command()) {
      case "patient register" -> registerPatient();
      case "patient visit" -> visit();
      case "patient grants" -> new Consents(open(), entropy).list();
      case "patient revoke" -> revoke();
      case "patient records" -> records();
      case "patient accesses" -> accesses();
      case "doctor init" -> initDoctor();
      case "doctor register" -> registerDoctor();
      case "doctor consult" -> consult();
      case "patient renew", "doctor renew" -> renew();
      default -> throw new IllegalStateException(arguments.command());
    };
  }

  private Map<String, Object> registerPatient() {
    String identity = arguments.formed("identity", Kind.KIND_PATIENT_ID);
    byte[] ticket = Enrolment.parseTicket(arguments.line("ticket-file"));
    // Where an earlier registration was cut short, its home is there.
    Home home = Home.exists(arguments.path("directory")) ? open() : create(identity);
    Refusal.require(home.identity().equals(identity), "PROFILE_UNUSABLE", home.identity() + " is at home there");
    return register(home, home.biometricPassword(arguments.path("simulated-sensor")), ticket);
  }

  private Map<String, Object> initDoctor() {
    Home home = create(arguments.formed("identity", Kind.KIND_DOCTOR_ID));
    Path request = arguments.path("directory").resolve("certificate-request.der");
    PrivateFiles.writeNew(request, Enrolment.certificateRequest(home.identity(), home.keys().signingKey()));
    return Map.of("request", request.toString());
  }

  private Map<String, Object> registerDoctor() {
    byte[] certificate = Enrolment.certificate(arguments.read("certificate"));
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
    Visit visit = new Visit(arguments);
    Home home = open();
    byte[] password = home.biometricPassword(arguments.path("simulated-sensor"));
    Maintenance.maintain(home, entropy, Main::tell);
    return visit.run(home, password, entropy);
  }

  private Map<String, Object> consult() {
    Consult consult = new Consult(arguments);
    Home home = open();
    Maintenance.maintain(home, entropy, Main::tell);
    return consult.run(home, entropy);
  }

  private Map<String, Object> revoke() {
    Consents.Chosen chosen = Consents.Chosen.of(arguments);
    return new Consents(open(), entropy).revoke(chosen);
  }

  /** Finds, fetches and saves the patient's own records. */
  private Map<String, Object> records() {
    long mostBytes = Records.mostBytes(arguments);
    Records records = Records.of(arguments);
    Home home = open();
    Maintenance.maintain(home, entropy, Main::tell);
    PatientClient client = new PatientClient(home, entropy, Main::tell);
    List<FetchedRecord> fetched = client.fetchRecords(client.findRecords(), mostBytes, records);
    return Map.of(
        "patient", home.identity(), "records", Records.described(fetched), "missing", records.missing());
  }

  /** Lists who asked for the patient's own records. */
  private Map<String, Object> accesses() {
    Home home = open();
    Maintenance.maintain(home, entropy, Main::tell);
    PatientClient client = new PatientClient(home, entropy, Main::tell);
    String cloudId = home.bundle().content().getCloudId();
    return new Accesses().read(client, home.identity(), cloudId, home.grants());
  }

  private Home create(String identity) {
    Path home = arguments.path("directory");
    String token = arguments.has("token") ? arguments.needed("token") : null;
    Path pin = arguments.path("pin-file");
    return kept(Home.create(home, identity, arguments.path("trust"), pin, token, entropy, System.currentTimeMillis()))
        .within(arguments.networks())
        .goingOnFor(arguments.grace());
  }

  private Home open() {
    Networks allowed = arguments.networks();
    Duration grace = arguments.grace();
    return kept(Home.open(arguments.path("directory"), arguments.path("pin-file"))).within(allowed).goingOnFor(grace);
  }

  private Home kept(Home home) {
    opened.add(home);
    return home;
  }

  static String hex(byte[] data) {
    return HexFormat.of().formatHex(data);
  }

  static void tell(String sentence) {
    System.err.println(Shown.line(sentence));
  }

  private static void say(Map<String, ?> said) {
    System.out.println(Shown.json(new GsonBuilder().serializeNulls().create().toJson(said)));
  }
}
