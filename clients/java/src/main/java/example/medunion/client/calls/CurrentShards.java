package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Listed;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Shards;
import example.medunion.federation.v1.RevocationExcerpt;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * The shards of the newest head, asked for when they are looked up in: of the public cloud, or else of a hospital that is dealt
 * with. Nothing is collected in advance: whoever is asked hears 12 bits of what is about to be checked.
 */
final class CurrentShards implements Listed {
  static final int MOST_KEPT = 128;
  private static final int MOST_BESIDE = 4;

  private record Beside(String hospitalId, IntFunction<RevocationExcerpt> asked) {}

  private final Supplier<ByteString> newestRoot;
  private final Consumer<RevocationExcerpt> take;
  private IntFunction<RevocationExcerpt> cloud;
  // The latest first: what is at hand of one hospital may be newer than what the next has.
  private List<Beside> beside = List.of();
  private ByteString root = ByteString.EMPTY;
  private Shards shards = Shards.NONE;

  /** `newestRoot` gives the root of the head at hand; `take` verifies what came, and gives it to {@link #add}. */
  CurrentShards(
      Supplier<ByteString> newestRoot, Consumer<RevocationExcerpt> take, IntFunction<RevocationExcerpt> cloud) {
    this.newestRoot = newestRoot;
    this.take = take;
    this.cloud = cloud;
  }

  /** Asks there from now on. */
  void askCloud(IntFunction<RevocationExcerpt> asked) {
    this.cloud = asked;
  }

  /** Asks this hospital where the cloud gives none, before those that were dealt with earlier. */
  void dealWith(String hospitalId, IntFunction<RevocationExcerpt> asked) {
    Stream<Beside> others = beside.stream().filter(other -> !other.hospitalId().equals(hospitalId));
    beside = Stream.concat(Stream.of(new Beside(hospitalId, asked)), others).limit(MOST_BESIDE).toList();
  }

  /** Takes the newer list of a hospital that is dealt with: the cloud does not answer. All are asked at once: none waits for a silent one. */
  void hearBeside() {
    List<CompletableFuture<RevocationExcerpt>> answers =
        beside.stream()
            // Whichever shard: it is for the head.
            .map(each -> CompletableFuture.supplyAsync(() -> each.asked().apply(0), CurrentShards::inItsOwnThread))
            .toList();
    for (CompletableFuture<RevocationExcerpt> answer : answers) {
      try {
        take.accept(answer.join());
      } catch (Refusal refusal) {
        // The next may have a newer one.
      } catch (CompletionException failure) {
        if (!(failure.getCause() instanceof Refusal)) {
          throw failure;
        }
      }
    }
  }

  private static void inItsOwnThread(Runnable work) {
    Thread thread = new Thread(work, "medunion-beside");
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public OptionalLong find(byte[] entry) {
    int prefix = Shards.prefixOf(entry);
    if (!atHand().has(prefix)) {
      ask(prefix);
    }
    return atHand().find(entry);
  }

  /** Keeps shards that the head at hand proves. */
  void add(Shards proven) {
    Shards kept = atHand().size() > MOST_KEPT ? Shards.NONE : atHand();
    shards = kept.and(proven);
  }

  private void ask(int prefix) {
    Refusal failure = null;
    List<IntFunction<RevocationExcerpt>> asked = Stream.concat(Stream.of(cloud), beside.stream().map(Beside::asked)).toList();
    for (IntFunction<RevocationExcerpt> each : asked) {
      try {
        take.accept(each.apply(prefix));
        if (atHand().has(prefix)) {
          return;
        }
      } catch (Refusal refusal) {
        failure = refusal;
      }
    }
    String sentence = "the part of the revocation list in which it would stand can't be had now";
    throw new Refusal("REVOCATION_SHARD_MISSING", sentence, failure);
  }

  /** Those of the newest head: what is of another root, of this process or another's, proves nothing any more. */
  private Shards atHand() {
    ByteString newest = newestRoot.get();
    if (!newest.equals(root)) {
      root = newest;
      shards = Shards.NONE;
    }
    return shards;
  }
}
