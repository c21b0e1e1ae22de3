package example.medunion.client;

import static example.medunion.client.Main.tell;

import example.medunion.client.Arguments.UsageException;
import example.medunion.client.calls.DoctorCode;
import example.medunion.client.calls.Home;
import example.medunion.client.calls.PatientClient;
import example.medunion.client.calls.RoomView;
import example.medunion.client.protocol.AccessStatements;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Consultation;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.SignedStatement;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** `patient visit`: a look at the doctor, what will be signed, the visit, and what stands after it. */
final class Visit {
  private final AskedConsent asked;
  private final byte[] observation;
  private final String code;
  private final boolean confirmed;
  private final Duration stay;

  /** Reads what was typed: nothing of it surprises anybody later. Nothing is signed that nobody read. */
  Visit(Arguments arguments) {
    confirmed = arguments.has("yes");
    if (!confirmed && System.console() == null) {
      throw new UsageException("what you are about to sign is shown first, and nobody can answer here: give --yes");
    }
    asked = AskedConsent.of(arguments);
    observation = arguments.has("observation") ? bounded(arguments) : Bytes.EMPTY;
    stay = Duration.ofMillis(arguments.has("stay") ? Math.round(1000 * arguments.number("stay", "", 3, 43_200)) : 0);
    code = arguments.operands().get(0);
  }

  private static byte[] bounded(Arguments arguments) {
    try {
      Consultation.requireBounded(Files.size(arguments.path("observation")));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return arguments.read("observation");
  }

  Map<String, Object> run(Home home, byte[] biometricPassword, Entropy entropy) {
    PatientClient client = new PatientClient(home, entropy, Main::tell);
    RoomView view = client.look(DoctorCode.parse(code));
    asked.requirePublished(home.bundle().content().getDepartmentClassesList());
    PatientClient.Offer offer = asked.offer(view);
    show(home.identity(), view, offer);
    confirm();
    int before = home.grants().size();
    try {
      List<String> conclusions =
          client.visit(view, biometricPassword, observation, offer, stay).stream().map(Report::conclusionOf).toList();
      int newest = conclusions.size() - 1;
      Map<String, Object> said = new LinkedHashMap<>();
      said.put("doctor", view.doctor().identity());
      said.put("grant", offer == null ? null : before + 1);
      said.put("conclusion", conclusions.get(newest));
      said.put("amends", newest == 0 ? null : conclusions.get(newest - 1));
      return said;
    } finally {
      tellWhatStands(home, before);
    }
  }

  private void show(String patientId, RoomView view, PatientClient.Offer offer) {
    VisitWords.who(view).forEach(Main::tell);
    tell("What is sent:");
    tell("  who you are, " + patientId);
    tell(observation.length == 0 ? "  no observation" : "  an observation of " + observation.length + " bytes");
    tell("What you consent to:");
    VisitWords.consent(offer, System.currentTimeMillis()).forEach(Main::tell);
  }

  private void confirm() {
    if (!confirmed) {
      tell("Go in, and sign this? [y/N]");
      String answer = System.console().readLine();
      boolean yes = answer != null && Set.of("y", "yes").contains(answer.strip().toLowerCase(Locale.ROOT));
      Refusal.require(yes, "DECLINED", "nothing was signed, and nobody knows that you were here");
    }
  }

  /** However the visit ended: the consent may have gone out though no diagnosis came. */
  private static void tellWhatStands(Home home, int before) {
    List<SignedStatement> given = home.grants();
    for (int index = before; index < given.size(); index++) {
      tell("What you consented to stands. It is taken back by: patient revoke " + (index + 1));
      VisitWords.grant(AccessStatements.peekGrant(given.get(index)), "your").forEach(Main::tell);
    }
  }
}
