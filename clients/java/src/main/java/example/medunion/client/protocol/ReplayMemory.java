package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import java.util.HashSet;
import java.util.Set;

/** Replay keys of messages that were taken (B2). A short-lived process may keep them in memory; a longer-lived one must not. */
public final class ReplayMemory {
  private final Set<ByteString> taken = new HashSet<>();

  /** Keeps a message's replay key; refuses one that is kept already. */
  public void admit(byte[] replayKey) {
    if (!taken.add(ByteString.copyFrom(replayKey))) {
      throw Refusal.rejected(new Refusal("MESSAGE_REPLAYED", "this message was taken before"));
    }
  }
}
