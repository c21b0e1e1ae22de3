package example.medunion.client.protocol;

import example.medunion.federation.v1.Sensitivity;
import java.util.List;

/**
 * Why somebody may do something with a patient's records: one decision, facts in, an answer out. What no rule allows is refused.
 * tests/decisions holds its known answers, for every language.
 */
public sealed interface Decision {
  /**
   * It may be done, as far as this goes. `ground` is "consent", "own", "deputy" or "emergency". What lies beyond is not on file for
   * who asks: other hospitals, other classes, records of a higher sensitivity, hidden ones.
   */
  record Allowed(
      String ground,
      List<String> hospitals,
      List<String> departmentClasses,
      Sensitivity highestSensitivity,
      List<Access.Hidden> hidden)
      implements Decision {
    /** Whether a record is on file for who asks. */
    boolean shows(String hospitalId, String departmentClass, String handle, Sensitivity sensitivity) {
      boolean open =
          sensitivity != Sensitivity.SENSITIVITY_UNSPECIFIED && sensitivity.compareTo(highestSensitivity) <= 0;
      return Access.covers(hospitals, hospitalId)
          && Access.covers(departmentClasses, departmentClass)
          && open
          && hidden.stream().noneMatch(one -> one.hides(hospitalId, departmentClass, handle));
    }
  }

  /** It may not be done, and why. */
  record Refused(Refusal refusal) implements Decision {}

  /** Decides. `access` is null where nothing was shown. */
  static Decision on(
      Access access, Access.Question question, Access.Standing standing, Access.Policy policy, long now) {
    try {
      return new AccessRules(question, standing, policy, now).allow(access);
    } catch (Refusal refusal) {
      return new Refused(refusal);
    }
  }
}
