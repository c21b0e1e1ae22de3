package example.medunion.client.protocol;

/** Why a message, a statement or a command was refused, in the one vocabulary of docs/errors.md. */
public final class Refusal extends RuntimeException {
  private static final String REJECTED = "REJECTED";

  // Of what is none of the vocabulary.
  private static final Words WORDLESS = new Words("", "", true, false);

  private final String reason;
  private final boolean passing;
  private final Circumstances circumstances;

  /**
   * What is known of a call that was refused. A reason of the peer's that this version does not know; where it was dialled, if nobody
   * answered; how the peer calls the call, by which its operator finds the cause. Each is empty where there is none.
   */
  public record Circumstances(String unknownReason, String address, String requestId) {
    static final Circumstances NONE = new Circumstances("", "", "");
  }

  public Refusal(String reason, String sentence) {
    this(reason, sentence, null);
  }

  public Refusal(String reason, String sentence, Throwable cause) {
    this(reason, sentence, cause, false, Circumstances.NONE);
  }

  private Refusal(String reason, String sentence, Throwable cause, boolean passing, Circumstances circumstances) {
    super(sentence, cause);
    this.reason = reason;
    this.passing = passing;
    this.circumstances = circumstances;
  }

  /** A peer's refusal that passes by itself: it is away, or has too much to do, whatever its own word for that is. */
  public static Refusal passing(String reason, String sentence, Throwable cause) {
    return new Refusal(reason, sentence, cause, true, Circumstances.NONE);
  }

  /** What came of a call, in this program's words, and whether it passes by itself. The reason is one of the vocabulary. */
  public static Refusal ofCall(String reason, boolean passing, Circumstances circumstances, Throwable cause) {
    return new Refusal(reason, Words.of(reason).orElseThrow().happened(), cause, passing, circumstances);
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

  /** Where a peer was dialled that does not answer; nothing where nobody was dialled, or somebody answered. */
  public String address() {
    return circumstances.address;
  }

  /** The refusal for a person: what happened, what else is known of it, what to do, and for who helps the reason and the request. */
  public String plain() {
    if (reason.equals(REJECTED) && getCause() instanceof Refusal cause) {
      return cause.plain();
    }
    boolean answered = reason.equals("UNAVAILABLE") && !circumstances.requestId.isEmpty();
    Words words = answered ? Words.ANSWERED : Words.of(reason).orElse(WORDLESS);
    String advice = words.toDo().isEmpty() ? "" : " " + words.toDo();
    String request = circumstances.requestId.isEmpty() ? "" : " (request " + circumstances.requestId + ")";
    return happened(words) + advice + " [" + reason + "]" + request;
  }

  /** What happened, and where nobody answered. */
  private String happened(Words words) {
    String own = getMessage();
    if (words.happened().isEmpty()) {
      return own.matches("(?s).*[.?!]") ? own : own + ".";
    }
    String said = words.happened();
    if (!circumstances.unknownReason.isEmpty()) {
      said += " It refused for a reason that this version does not know (" + circumstances.unknownReason + ").";
    } else if (words.tellsMore() && !own.equals(words.happened())) {
      said += " (" + own + ")";
    }
    return circumstances.address.isEmpty() ? said : said + " It was dialled at " + circumstances.address + ".";
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
