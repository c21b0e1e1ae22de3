package example.medunion.client.protocol;

/** Why a message, a statement or a command was refused, in the one vocabulary of docs/errors.md. */
public final class Refusal extends RuntimeException {
  private static final String REJECTED = "REJECTED";

  private final String reason;

  public Refusal(String reason, String sentence) {
    super(sentence);
    this.reason = reason;
  }

  public Refusal(String reason, String sentence, Throwable cause) {
    super(sentence, cause);
    this.reason = reason;
  }

  /** The reason, UPPER_SNAKE, as servers and the audit log say it. */
  public String reason() {
    return reason;
  }

  /** The precise reason, for one's own log: of REJECTED its cause's. */
  public String preciseReason() {
    return reason.equals(REJECTED) && getCause() instanceof Refusal cause ? cause.preciseReason() : reason;
  }

  /** Refuse unless the condition holds. */
  public static void require(boolean condition, String reason, String sentence) {
    if (!condition) {
      throw new Refusal(reason, sentence);
    }
  }

  /** A step after a seal was opened. */
  @FunctionalInterface
  public interface Step<T> {
    T run();
  }

  /**
   * Turns whatever is found after a seal was opened into the one answer REJECTED (docs/protocol.md, 1, Refusals): whoever sent the
   * message learns nothing of the cause, which stays attached for the log.
   */
  public static <T> T afterOpening(Step<T> step) {
    try {
      return step.run();
    } catch (Refusal refusal) {
      if (refusal.reason.equals(REJECTED)) {
        throw refusal;
      }
      throw rejected(refusal);
    }
  }

  /** The refusal that tells its reader nothing. */
  public static Refusal rejected(Refusal cause) {
    return new Refusal(REJECTED, "the message was not accepted", cause);
  }
}
