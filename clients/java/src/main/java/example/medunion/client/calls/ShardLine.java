package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.TrustedBundle;
import example.medunion.federation.v1.RevocationExcerpt;
import java.util.List;
import java.util.function.Supplier;

/**
 * A home's own connection to the public cloud, by which shards are asked for while no other is open: made for the first of them, and anew
 * where the trust bundle is another, for it may name another address, or where the cloud did not answer.
 */
final class ShardLine implements AutoCloseable {
  private final Supplier<TrustedBundle> newest;
  private final Supplier<Cloud> dial;
  private TrustedBundle bundle;
  private Cloud cloud;

  ShardLine(Supplier<TrustedBundle> newest, Supplier<Cloud> dial) {
    this.newest = newest;
    this.dial = dial;
  }

  RevocationExcerpt shard(int prefix, List<ByteString> heldCrls) {
    if (bundle != newest.get()) {
      close();
      cloud = dial.get();
      bundle = newest.get();
    }
    try {
      return cloud.shard(prefix, heldCrls);
    } catch (Refusal refusal) {
      close();
      throw refusal;
    }
  }

  @Override
  public void close() {
    if (cloud != null) {
      cloud.close();
    }
    cloud = null;
    bundle = null;
  }
}
