package example.medunion.client;

import static example.medunion.client.Main.hex;
import static example.medunion.client.Main.tell;

import example.medunion.client.calls.DoctorClient;
import example.medunion.client.calls.FetchedRecord;
import example.medunion.client.calls.Home;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.DoctorSide;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Search;
import example.medunion.federation.v1.Kind;
import example.medunion.federation.v1.Right;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** `doctor consult`: a room, a patient, its records, a diagnosis, its deposit. */
final class Consult {
  private static final Duration RECEIPT = Duration.ofSeconds(60);

  private final String department;
  private final String conclusion;
  private final Optional<String> amendment;
  private final String hospital;
  private final String address;
  private final long mostBytes;
  private final Records records;
  private final Path codeFile;
  private final boolean deposits;

  /** Reads all of what was typed now: once the room is open a patient may act on it. */
  Consult(Arguments arguments) {
    department = arguments.formed("department", Kind.KIND_DEPARTMENT_CLASS);
    conclusion = arguments.needed("conclusion");
    Report.requireConclusion(conclusion);
    amendment = arguments.has("amend") ? Optional.of(arguments.needed("amend")) : Optional.empty();
    amendment.ifPresent(Report::requireConclusion);
    hospital = arguments.formed("hospital", Kind.KIND_HOSPITAL_ID);
    address = arguments.formed("address", Kind.KIND_ADDRESS);
    mostBytes = Records.mostBytes(arguments);
    records = Records.of(arguments);
    codeFile = arguments.has("code-file") ? arguments.path("code-file") : null;
    if (codeFile != null) {
      Records.requireWritable(codeFile.toAbsolutePath().getParent());
      Refusal.require(!Files.isDirectory(codeFile), "FILE_UNUSABLE", "--code-file is a directory");
    }
    deposits = arguments.has("deposit");
  }

  Map<String, Object> run(Home home, Entropy entropy) {
    try (DoctorClient client = DoctorClient.open(home, hospital, address, department, entropy)) {
      tell("You are " + VisitWords.onDuty(client.duty()) + ".");
      tell("Show this code to your patient: " + client.code().written());
      if (codeFile != null) {
        PrivateFiles.replace(codeFile, (client.code().written() + "\n").getBytes(StandardCharsets.UTF_8));
      }
      DoctorSide.InConsultation consultation =
          client.awaitPatient(reason -> tell("Somebody was refused (" + reason + "); still waiting."));
      showPatient(consultation);
      List<FetchedRecord> fetched = readRecords(client, consultation);
      String doctor = consultation.session().own().identity();
      List<byte[]> digests = fetched.stream().map(FetchedRecord::digest).toList();
      byte[] report = Report.of(consultation.patientId(), doctor, conclusion, digests, Optional.empty());
      DoctorSide.AwaitingReceipt diagnosed = client.diagnose(consultation, report, fetched);
      Ended ended = end(client, diagnosed);
      if (amendment.isPresent()) {
        byte[] amended =
            Report.of(consultation.patientId(), doctor, amendment.get(), digests, Optional.of(report));
        ended = end(client, client.amend(diagnosed, amended, fetched));
      }
      if (ended.undeposited() != null) {
        throw ended.undeposited();
      }
      Map<String, Object> said = new LinkedHashMap<>();
      said.put("patient", consultation.patientId());
      byte[] biosignal = consultation.biosignal();
      said.put("biosignal", Map.of("size", biosignal.length, "sha256", hex(Bytes.sha256(biosignal))));
      said.put("records", Records.described(fetched));
      said.put("receipt", ended.receipt());
      said.put("deposit", ended.handle());
      return said;
    }
  }

  /** What became of a diagnosis that is sent. */
  private record Ended(String handle, Refusal undeposited, boolean receipt) {}

  /** Deposits the encounter, if it is to be, and waits for the receipt. What the hospital refuses is told in the end: P6 is awaited first. */
  private Ended end(DoctorClient client, DoctorSide.AwaitingReceipt diagnosed) {
    Refusal undeposited = null;
    String handle = null;
    try {
      handle = deposited(client, diagnosed);
    } catch (Refusal refusal) {
      tell("The diagnosis is sent. THE ENCOUNTER IS NOT DEPOSITED: " + refusal.plain());
      undeposited = refusal;
    }
    return new Ended(handle, undeposited, isAcknowledged(client, diagnosed));
  }

  private static void showPatient(DoctorSide.InConsultation consultation) {
    String patient = consultation.patientId();
    String came = consultation.session().peer().identity();
    tell((came.equals(patient) ? patient : came + ", who stands for " + patient + ",") + " is here; both sides have proved who they are.");
    consultation
        .shown()
        .claimedGrant()
        .ifPresentOrElse(
            grant -> VisitWords.grant(grant, "the patient's").forEach(Main::tell),
            () -> tell("There is no consent beyond this visit."));
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
    return client.fetch(consultation, locations(client, consultation), mostBytes, records);
  }

  /** Where records are. Without an answer that can be taken the visit goes on, and the doctor hears that some may be missing. */
  private static List<Search.RecordLocation> locations(DoctorClient client, DoctorSide.InConsultation consultation) {
    try {
      return client.search(consultation, Main::tell);
    } catch (Refusal refusal) {
      tell("The public cloud did not say where records are, RECORDS FROM ELSEWHERE MAY BE MISSING: " + refusal.plain());
      return List.of();
    }
  }

  private String deposited(DoctorClient client, DoctorSide.AwaitingReceipt diagnosed) {
    if (!deposits) {
      return null;
    }
    if (!diagnosed.consultation().allows(Right.RIGHT_WRITE)) {
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
      tell("No receipt came: " + refusal.plain());
      return false;
    }
  }
}
