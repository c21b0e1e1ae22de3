package example.medunion.client.protocol;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.RevocationHead;
import example.medunion.federation.v1.RevocationShard;
import example.medunion.federation.v1.SignedStatement;
import example.medunion.federation.v1.Sweep;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;

/** The set of what no longer holds as a public cloud has it: entries, each with a sweep's time or 0. Written once more from docs/protocol.md. */
public record Revoked(Map<ByteString, Long> entries) implements Listed {
  private static final int HEIGHT = 12;

  /** The set under the vectors' head. */
  public static Revoked ofVectors() {
    JsonObject revoked = Vectors.load("parties").getAsJsonObject("revoked");
    Map<ByteString, Long> entries = new HashMap<>();
    Vectors.list(revoked.getAsJsonArray("entries")).forEach(entry -> entries.put(ByteString.copyFrom(entry), 0L));
    for (JsonElement sweep : revoked.getAsJsonArray("sweeps")) {
      byte[] digest = Vectors.bytes(sweep.getAsJsonObject(), "patient_digest");
      entries.put(ByteString.copyFrom(digest), sweep.getAsJsonObject().get("before").getAsLong());
    }
    return new Revoked(entries);
  }

  /** The set and one entry more. */
  public Revoked with(ByteString entry, long before) {
    Map<ByteString, Long> more = new HashMap<>(entries);
    more.put(entry, before);
    return new Revoked(more);
  }

  @Override
  public OptionalLong find(byte[] entry) {
    Long before = entries.get(ByteString.copyFrom(entry));
    return before == null ? OptionalLong.empty() : OptionalLong.of(before);
  }

  /** A head like that one, which signs this set. */
  public SignedStatement head(RevocationHead like, SigningKey cloud) {
    ByteString root = ByteString.copyFrom(levels().get(HEIGHT).get(0));
    return Statements.sign("rl", like.toBuilder().setRoot(root).setEntries(entries.size()).build(), cloud);
  }

  /** These shards with their paths. */
  public RevocationExcerpt excerpt(SignedStatement head, List<Integer> prefixes) {
    List<List<byte[]>> levels = levels();
    RevocationExcerpt.Builder excerpt = RevocationExcerpt.newBuilder().setHead(head);
    for (int prefix : prefixes) {
      RevocationShard.Builder shard = shards().getOrDefault(prefix, RevocationShard.newBuilder()).setPrefix(prefix);
      for (int level = 0; level < HEIGHT; level++) {
        shard.addPath(ByteString.copyFrom(levels.get(level).get(prefix >> level ^ 1)));
      }
      excerpt.addShards(shard);
    }
    return excerpt.build();
  }

  private Map<Integer, RevocationShard.Builder> shards() {
    Map<Integer, RevocationShard.Builder> shards = new HashMap<>();
    Map<ByteString, Long> ascending = new TreeMap<>(ByteString.unsignedLexicographicalComparator());
    ascending.putAll(entries);
    ascending.forEach(
        (entry, before) -> {
          int prefix = Short.toUnsignedInt(ByteBuffer.wrap(entry.toByteArray()).getShort()) >> 4;
          RevocationShard.Builder shard = shards.computeIfAbsent(prefix, it -> RevocationShard.newBuilder());
          if (before == 0) {
            shard.addEntries(entry);
          } else {
            shard.addSweeps(Sweep.newBuilder().setPatientDigest(entry).setBefore(before));
          }
        });
    return shards;
  }

  private List<List<byte[]>> levels() {
    Map<Integer, RevocationShard.Builder> shards = shards();
    List<byte[]> level = new ArrayList<>();
    for (int prefix = 0; prefix < 1 << HEIGHT; prefix++) {
      ByteString plain = ByteString.EMPTY;
      ByteString sweeps = ByteString.EMPTY;
      RevocationShard.Builder shard = shards.getOrDefault(prefix, RevocationShard.newBuilder());
      for (ByteString entry : shard.getEntriesList()) {
        plain = plain.concat(entry);
      }
      for (Sweep sweep : shard.getSweepsList()) {
        sweeps = sweeps.concat(sweep.getPatientDigest()).concat(ByteString.copyFrom(Bytes.u64(sweep.getBefore())));
      }
      level.add(hash(0, Transcript.of("shard").add(plain).add(sweeps).bytes(), Bytes.EMPTY));
    }
    List<List<byte[]>> levels = new ArrayList<>(List.of(level));
    while (level.size() > 1) {
      List<byte[]> above = new ArrayList<>();
      for (int place = 0; place < level.size(); place += 2) {
        above.add(hash(1, level.get(place), level.get(place + 1)));
      }
      levels.add(above);
      level = above;
    }
    return levels;
  }

  private static byte[] hash(int kind, byte[] left, byte[] right) {
    return Bytes.sha256(Bytes.concat(new byte[] {(byte) kind}, left, right));
  }
}
