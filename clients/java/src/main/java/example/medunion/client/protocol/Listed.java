package example.medunion.client.protocol;

import java.util.OptionalLong;

/** What is at hand of the set of what no longer holds. */
@FunctionalInterface
public interface Listed {
  /** A sweep's time, or 0, of an entry in the set; empty for one that is not. Refuses with REVOCATION_SHARD_MISSING where nothing at hand says so. */
  OptionalLong find(byte[] entry);
}
