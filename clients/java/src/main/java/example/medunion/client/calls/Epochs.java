package example.medunion.client.calls;

import static example.medunion.client.calls.HomeState.base64;
import static example.medunion.client.calls.HomeState.statement;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Statements;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.SignedStatement;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;

/**
 * A home's encryption keys over time, as its state tells them: one EK_X is announced, perhaps a next one is made and not acknowledged, and
 * former ones open until 5 minutes after their end. Then they are destroyed: first flights get delayed forward secrecy from this (B5).
 */
final class Epochs {
  static final long LIFE = Duration.ofDays(7).toMillis();

  private static final long RENEW_BEFORE_END = Duration.ofDays(1).toMillis();
  private static final long KEPT_AFTER_END = Duration.ofMinutes(5).toMillis();

  private Epochs() {}

  static EncryptionKeyStatement read(String encoded) {
    return Statements.peek(EncryptionKeyStatement.getDefaultInstance(), statement(encoded));
  }

  /** Whether the next epoch should begin. */
  static boolean isDue(String encoded, long now) {
    return read(encoded).getNotAfter() - RENEW_BEFORE_END <= now;
  }

  /** The next EK_X that was made, and may be sent again: its receipt never came. */
  static boolean hasNext(HomeState state, long now) {
    return state.nextEncryptionKeyStatement != null && !isDue(state.nextEncryptionKeyStatement, now);
  }

  /** Keeps an EK_X that is to be announced. One whose receipt never came may have reached the cloud: it opens until its end. */
  static void prepare(HomeState state, SignedStatement next) {
    if (state.nextEncryptionKeyStatement != null) {
      state.formerEncryptionKeyStatements.add(state.nextEncryptionKeyStatement);
    }
    state.nextEncryptionKeyStatement = base64(next);
  }

  /** Announces the next EK_X, now that the cloud has it. */
  static void announce(HomeState state, SignedStatement next) {
    // Another process of this party may have come first.
    if (base64(next).equals(state.nextEncryptionKeyStatement)) {
      state.formerEncryptionKeyStatements.add(state.encryptionKeyStatement);
      state.encryptionKeyStatement = state.nextEncryptionKeyStatement;
      state.nextEncryptionKeyStatement = null;
    }
  }

  /** Drops the epochs that ended 5 minutes ago or more. Gives the key ids of those that still open: all other keys are to go. */
  static Set<ByteString> sweep(HomeState state, long now) {
    state.formerEncryptionKeyStatements.removeIf(former -> hasGone(former, now));
    if (state.nextEncryptionKeyStatement != null && hasGone(state.nextEncryptionKeyStatement, now)) {
      state.nextEncryptionKeyStatement = null;
    }
    Set<ByteString> open = new HashSet<>();
    state.formerEncryptionKeyStatements.forEach(former -> open.add(read(former).getKeyId()));
    if (state.nextEncryptionKeyStatement != null) {
      open.add(read(state.nextEncryptionKeyStatement).getKeyId());
    }
    // What is announced stays named when its key goes: it says since when this party can't act.
    if (!hasGone(state.encryptionKeyStatement, now)) {
      open.add(read(state.encryptionKeyStatement).getKeyId());
    }
    return open;
  }

  private static boolean hasGone(String encoded, long now) {
    return read(encoded).getNotAfter() + KEPT_AFTER_END <= now;
  }
}
