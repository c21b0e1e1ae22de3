package example.medunion.client.protocol;

import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;

/**
 * Replay keys of messages that were taken, in hex, and until when each is kept (B2): as long as the message might pass for fresh. Keep it
 * where it outlives the process: EK_D does.
 */
public record ReplayMemory(Map<String, Long> taken) {
  public ReplayMemory {
    taken = new TreeMap<>(taken);
  }

  /** Keeps a message's replay key; refuses one that is kept already. Forgets those whose time is over. */
  public void admit(byte[] replayKey, long now, long until) {
    taken.values().removeIf(over -> over < now);
    if (taken.putIfAbsent(HexFormat.of().formatHex(replayKey), until) != null) {
      throw Refusal.rejected(new Refusal("MESSAGE_REPLAYED", "this message was taken before"));
    }
  }
}
