package example.medunion.client;

import static example.medunion.client.Main.tell;

import example.medunion.client.Arguments.UsageException;
import example.medunion.client.calls.Calls;
import example.medunion.client.calls.Cloud;
import example.medunion.client.calls.Home;
import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.AccessStatements;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Lists;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Revoking;
import example.medunion.federation.v1.SignedStatement;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;

/** The consents that a patient gave from its home, by their numbers there: the oldest is 1, and stays 1. */
final class Consents {
  private final Home home;
  private final Entropy entropy;

  Consents(Home home, Entropy entropy) {
    this.home = home;
    this.entropy = entropy;
  }

  /** What is to be taken back: those of these numbers, the last that stands, or everything that was signed until now. */
  record Chosen(List<Integer> numbers, boolean last, boolean everything) {
    static Chosen of(Arguments arguments) {
      List<Integer> numbers = arguments.operands().stream().map(Chosen::number).distinct().toList();
      Chosen chosen = new Chosen(numbers, arguments.has("last"), arguments.has("all"));
      long ways = Stream.of(!numbers.isEmpty(), chosen.last, chosen.everything).filter(way -> way).count();
      if (ways != 1) {
        throw new UsageException("numbers as `grants` shows them, or --last, or --all");
      }
      return chosen;
    }

    private static int number(String word) {
      if (!word.matches("[1-9][0-9]{0,8}")) {
        throw new UsageException(word + " is no number of a consent");
      }
      return Integer.parseInt(word);
    }
  }

  /** A consent that was given. `state` is "stands", "ended" or "taken back", by the lists at hand. */
  record Given(int number, Access.Grant grant, SignedStatement signed, String state) {
    boolean stands() {
      return state.equals("stands");
    }

    Map<String, Object> described() {
      return Map.of(
          "number", number,
          "id", Main.hex(grant.id().toByteArray()),
          "for", VisitWords.grantee(grant.grantee()),
          "until", grant.validity().notAfter(),
          "state", state);
    }

    void show() {
      List<String> lines = VisitWords.grant(grant, "your");
      tell(number + ". " + (stands() ? "" : state.toUpperCase(Locale.ROOT) + ". ") + lines.get(0));
      lines.subList(1, lines.size()).forEach(Main::tell);
    }
  }

  /** All of them, in the order of giving. */
  List<Given> all() {
    long now = System.currentTimeMillis();
    Lists lists = home.verifier(now).lists();
    List<Given> given = new ArrayList<>();
    for (SignedStatement signed : home.grants()) {
      Access.Grant grant = AccessStatements.peekGrant(signed);
      boolean revoked = isTakenBack(grant, lists);
      String lasting = now < grant.validity().notAfter() ? "stands" : "ended";
      given.add(new Given(given.size() + 1, grant, signed, revoked ? "taken back" : lasting));
    }
    return given;
  }

  /** By what can be had of the list now: what is told is not what hospitals decide by. */
  private static boolean isTakenBack(Access.Grant grant, Lists lists) {
    try {
      return lists.isTakenBack("grant", grant.patientId(), grant.id(), grant.statedAt());
    } catch (Refusal refusal) {
      if (!refusal.reason().equals("REVOCATION_SHARD_MISSING")) {
        throw refusal;
      }
      return false;
    }
  }

  /** Lists them. */
  Map<String, Object> list() {
    refresh();
    all().forEach(Given::show);
    return Map.of("grants", all().stream().map(Given::described).toList());
  }

  /** Takes consents back. */
  Map<String, Object> revoke(Chosen chosen) {
    refresh();
    List<Given> given = chosen.everything() ? standing() : chosen.last() ? List.of(newest()) : of(chosen.numbers());
    try (Cloud cloud = new Cloud(home)) {
      for (Revoking.TakenBack taken :
          chosen.everything() ? List.of(all(System.currentTimeMillis())) : batches(given)) {
        cloud.revoke(home, taken, entropy);
      }
    }
    tell("Taken back. Hospitals know as soon as they have the next list, within the hour at the latest.");
    return Map.of("revoked", given.stream().map(Given::number).toList());
  }

  private Revoking.TakenBack all(long now) {
    return new Revoking.TakenBack(home.identity(), List.of(), now + 1, null); // what was signed in this very millisecond, too
  }

  /** As many at once as one rev takes back. */
  private List<Revoking.TakenBack> batches(List<Given> chosen) {
    List<Revoking.Stated> stated = chosen.stream().map(given -> Revoking.Stated.grant(given.signed())).toList();
    List<Revoking.TakenBack> batches = new ArrayList<>();
    for (int first = 0; first < stated.size(); first += Revoking.MOST_STATEMENTS) {
      int end = Math.min(stated.size(), first + Revoking.MOST_STATEMENTS);
      batches.add(new Revoking.TakenBack(home.identity(), stated.subList(first, end), null, null));
    }
    return batches;
  }

  private void refresh() {
    try (Cloud cloud = new Cloud(home)) {
      cloud.refresh(home);
    } catch (Refusal refusal) {
      if (!Calls.passes(refusal)) {
        throw refusal;
      }
      tell("The public cloud does not answer: what was taken back lately may not show.");
    }
  }

  private List<Given> of(List<Integer> numbers) {
    List<Given> given = all();
    for (int number : numbers) {
      Refusal.require(number <= given.size(), "NO_SUCH_GRANT", "you gave no consent of the number " + number + " from here");
    }
    return numbers.stream().map(number -> given.get(number - 1)).toList();
  }

  private List<Given> standing() {
    return all().stream().filter(Given::stands).toList();
  }

  private Given newest() {
    List<Given> standing = standing();
    Refusal.require(!standing.isEmpty(), "NO_SUCH_GRANT", "none of your consents stands");
    return standing.get(standing.size() - 1);
  }
}
