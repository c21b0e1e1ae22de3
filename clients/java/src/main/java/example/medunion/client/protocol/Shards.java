package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.RevocationShard;
import example.medunion.federation.v1.Sweep;
import java.io.ByteArrayOutputStream;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalLong;

/** Some of the 4,096 shards of the revocation list, each proven by one head: leaves of a Merkle tree (RFC 9162, 2.1). */
public final class Shards implements Listed {
  /** No shard at all: every question fails. */
  public static final Shards NONE = new Shards(Map.of());

  private static final int COUNT = 4096;
  private static final int HEIGHT = 12;
  private static final byte[] LEAF = {0};
  private static final byte[] NODE = {1};

  private final Map<Integer, RevocationShard> byPrefix;

  private Shards(Map<Integer, RevocationShard> byPrefix) {
    this.byPrefix = byPrefix;
  }

  /** Which shard an entry lies in: its first 12 bits, and never what somebody says of it. */
  public static int prefixOf(byte[] entry) {
    return Byte.toUnsignedInt(entry[0]) << 4 | Byte.toUnsignedInt(entry[1]) >> 4;
  }

  /** Takes shards that this root proves. */
  public static Shards read(RevocationExcerpt excerpt, ByteString root) {
    Map<Integer, RevocationShard> byPrefix = new HashMap<>();
    for (RevocationShard shard : excerpt.getShardsList()) {
      requireProven(shard, root);
      byPrefix.put(shard.getPrefix(), shard);
    }
    return new Shards(Map.copyOf(byPrefix));
  }

  /** These and those, which have to be of the same root. */
  public Shards and(Shards others) {
    Map<Integer, RevocationShard> all = new HashMap<>(byPrefix);
    all.putAll(others.byPrefix);
    return new Shards(Map.copyOf(all));
  }

  public boolean has(int prefix) {
    return byPrefix.containsKey(prefix);
  }

  public int size() {
    return byPrefix.size();
  }

  @Override
  public OptionalLong find(byte[] entry) {
    RevocationShard shard = byPrefix.get(prefixOf(entry));
    // shard.3
    require(
        shard != null,
        "REVOCATION_SHARD_MISSING",
        "the part of the revocation list in which it would stand is not at hand");
    ByteString wanted = ByteString.copyFrom(entry);
    if (shard.getEntriesList().contains(wanted)) {
      return OptionalLong.of(0);
    }
    return shard.getSweepsList().stream()
        .filter(sweep -> sweep.getPatientDigest().equals(wanted))
        .mapToLong(Sweep::getBefore)
        .findFirst();
  }

  /** Requires a root to commit to a shard, at the place of its prefix. */
  static void requireProven(RevocationShard shard, ByteString root) {
    int prefix = shard.getPrefix(); // unsigned on the wire: a large one is negative here
    boolean placed = prefix >= 0 && prefix < COUNT && shard.getPathCount() == HEIGHT;
    // shard.1
    require(placed, "REVOCATION_SHARD_INVALID", "a shard's place, or the length of its path, is no tree's of 4,096");
    byte[] found = leafOf(shard);
    for (int level = 0; level < HEIGHT; level++) {
      byte[] beside = shard.getPath(level).toByteArray();
      boolean left = (prefix >> level & 1) == 0;
      found = Bytes.sha256(left ? Bytes.concat(NODE, found, beside) : Bytes.concat(NODE, beside, found));
    }
    require(Bytes.equal(root, found), "REVOCATION_SHARD_INVALID", "the shard is not the head's"); // shard.2
  }

  private static byte[] leafOf(RevocationShard shard) {
    ByteArrayOutputStream entries = new ByteArrayOutputStream();
    shard.getEntriesList().forEach(entry -> entries.writeBytes(entry.toByteArray()));
    ByteArrayOutputStream sweeps = new ByteArrayOutputStream();
    for (Sweep sweep : shard.getSweepsList()) {
      sweeps.writeBytes(sweep.getPatientDigest().toByteArray());
      sweeps.writeBytes(Bytes.u64(sweep.getBefore()));
    }
    byte[] leaf = Transcript.of("shard").add(entries.toByteArray()).add(sweeps.toByteArray()).bytes();
    return Bytes.sha256(Bytes.concat(LEAF, leaf));
  }
}
