package example.medunion.client.calls;

import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.AccessStatements;
import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.ShownDuty;
import java.util.function.Predicate;
import java.util.function.Supplier;

/** A doctor's duty at its hospital: kept while it holds, and then asked for anew. */
final class CurrentDuty {
  private final Predicate<Access.Duty> holds;
  private final Supplier<ShownDuty> ask;
  private ShownDuty kept;

  /** `holds` says whether a duty may still be shown, and `ask` gives the one that the hospital states now, checked. */
  CurrentDuty(ShownDuty first, Predicate<Access.Duty> holds, Supplier<ShownDuty> ask) {
    this.kept = first;
    this.holds = holds;
    this.ask = ask;
  }

  /** The duty to show. Where the hospital states none now, or nothing tells whether it holds, it is the last one: whether one is needed is for who decides. */
  ShownDuty get() {
    try {
      if (!holds.test(AccessStatements.peekDuty(kept))) {
        kept = ask.get();
      }
    } catch (Refusal refusal) {
      if (refusal.isOwnFault()) {
        throw refusal;
      }
    }
    return kept;
  }
}
