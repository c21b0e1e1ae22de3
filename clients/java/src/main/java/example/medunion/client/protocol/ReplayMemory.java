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

  /** Keeps a message's replay key, and says whether it was new. Forgets those whose time is over. */
  public boolean insert(byte[] replayKey, long now, long until) {
    taken.values().removeIf(over -> over < now);
    return taken.putIfAbsent(HexFormat.of().formatHex(replayKey), until) == null;
  }
}
