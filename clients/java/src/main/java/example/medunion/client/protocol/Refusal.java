package example.medunion.client.protocol;

/** Why a message, a statement or a command was refused, in the one vocabulary of docs/errors.md. */
public final class Refusal extends RuntimeException {
  private static final String REJECTED = "REJECTED";

  private final String reason;
  private final boolean passing;

  public Refusal(String reason, String sentence) {
    this(reason, sentence, null);
  }

  public Refusal(String reason, String sentence, Throwable cause) {
    this(reason, sentence, cause, false);
  }

  private Refusal(String reason, String sentence, Throwable cause, boolean passing) {
    super(sentence, cause);
    this.reason = reason;
    this.passing = passing;
  }

  /** A peer's refusal that passes by itself: it is away, or has too much to do, whatever its own word for that is. */
  public static Refusal passing(String reason, String sentence, Throwable cause) {
    return new Refusal(reason, sentence, cause, true);
  }

  /** Whether the same may be tried again after a while. */
  public boolean isPassing() {
    return passing;
  }

  /** The reason, UPPER_SNAKE, as servers and the audit log say it. */
  public String reason() {
    return reason;
  }

  /** The precise reason, for one's own log: of REJECTED its cause's. */
  public String preciseReason() {
    return reason.equals(REJECTED) && getCause() instanceof Refusal cause ? cause.preciseReason() : reason;
  }

  /** The refusal for a person: what happened, what else is known of it, what to do, and the reason for who helps. */
  public String plain() {
    if (reason.equals(REJECTED) && getCause() instanceof Refusal cause) {
      return cause.plain();
    }
    Words words = Words.of(reason).orElse(new Words("", "", false));
    String said = getMessage();
    if (words.happened().isEmpty()) {
      said = said.endsWith(".") ? said : said + ".";
    } else if (!said.startsWith(words.happened())) {
      said = words.happened() + " (" + said + ")";
    }
    String advice = words.toDo().isEmpty() || said.contains(words.toDo()) ? "" : " " + words.toDo();
    return said + advice + " [" + reason + "]";
  }

  /** Whether this side's own token failed: that says nothing of the message, and no peer did it. */
  public boolean isOwnFault() {
    return reason.equals("TOKEN_UNAVAILABLE");
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
   * Turns whatever is found after a seal was opened into the one answer REJECTED (docs/protocol.md, 1, Refusals): whoever sent
   * the message learns nothing of the cause, which stays attached for the log. A fault of this side's own token is no finding.
   */
  public static <T> T afterOpening(Step<T> step) {
    try {
      return step.run();
    } catch (Refusal refusal) {
      if (refusal.reason.equals(REJECTED) || refusal.isOwnFault()) {
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
