package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.client.protocol.Addresses;
import example.medunion.client.protocol.Refusal;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.Status;
import io.grpc.StatusOr;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.util.Arrays;
import java.util.List;

/** The networks that this client may dial, any if it names none. An address is a peer's word: every address behind a name has to lie in them. */
public record Networks(List<Network> allowed) {
  public static final Networks ANY = new Networks(List.of());

  /** So many leading bits of an address. */
  private record Network(byte[] address, int bits) {
    boolean holds(InetAddress other) {
      return other.getAddress().length == address.length && Arrays.equals(masked(other.getAddress(), bits), address);
    }
  }

  /** Reads networks such as `10.0.0.0/8` and `2001:db8::/32`; no name is looked up. */
  public static Networks parse(List<String> written) {
    return new Networks(written.stream().map(Networks::network).toList());
  }

  private static Network network(String written) {
    String[] parts = written.split("/", -1);
    boolean numeric = Addresses.isIpv4(parts[0]) || Addresses.isIpv6(parts[0]);
    boolean sized = parts.length == 2 && parts[1].matches("0|[1-9][0-9]{0,2}");
    require(numeric && sized, "FIELD_INVALID", "a network reads 10.0.0.0/8 or 2001:db8::/32");
    try {
      byte[] address = InetAddress.getByName(parts[0]).getAddress();
      int bits = Integer.parseInt(parts[1]);
      boolean fits = bits <= 8 * address.length && Arrays.equals(masked(address, bits), address);
      require(fits, "FIELD_INVALID", "a network has no bits beyond its prefix");
      return new Network(address, bits);
    } catch (UnknownHostException error) {
      throw new IllegalStateException(error); // what is numeric is not looked up
    }
  }

  private static byte[] masked(byte[] address, int bits) {
    byte[] masked = address.clone();
    for (int index = 0; index < masked.length; index++) {
      int left = Math.max(0, Math.min(8, bits - 8 * index));
      masked[index] &= (byte) (0xff << (8 - left));
    }
    return masked;
  }

  private boolean holds(SocketAddress address) {
    return address instanceof InetSocketAddress place
        && place.getAddress() != null
        && allowed.stream().anyMatch(network -> network.holds(place.getAddress()));
  }

  /** DNS, whose answers are dialled only if all of them lie in these networks. */
  NameResolver.Factory resolvers() {
    NameResolverProvider dns = NameResolverRegistry.getDefaultRegistry().getProviderForScheme("dns");
    return new NameResolver.Factory() {
      @Override
      public NameResolver newNameResolver(URI target, NameResolver.Args arguments) {
        NameResolver resolver = dns.newNameResolver(target, arguments);
        return resolver == null || allowed.isEmpty() ? resolver : new Checked(resolver);
      }

      @Override
      public String getDefaultScheme() {
        return dns.getDefaultScheme();
      }
    };
  }

  private final class Checked extends NameResolver {
    private final NameResolver resolver;

    Checked(NameResolver resolver) {
      this.resolver = resolver;
    }

    @Override
    public String getServiceAuthority() {
      return resolver.getServiceAuthority();
    }

    @Override
    public void start(Listener2 listener) {
      resolver.start(
          new Listener2() {
            @Override
            public void onResult(ResolutionResult result) {
              listener.onResult(checked(result));
            }

            @Override
            public Status onResult2(ResolutionResult result) {
              return listener.onResult2(checked(result));
            }

            @Override
            public void onError(Status error) {
              listener.onError(error);
            }
          });
    }

    @Override
    public void refresh() {
      resolver.refresh();
    }

    @Override
    public void shutdown() {
      resolver.shutdown();
    }

    private ResolutionResult checked(ResolutionResult result) {
      StatusOr<List<EquivalentAddressGroup>> found = result.getAddressesOrError();
      boolean inside =
          !found.hasValue()
              || found.getValue().stream().flatMap(group -> group.getAddresses().stream()).allMatch(Networks.this::holds);
      return inside ? result : result.toBuilder().setAddressesOrError(StatusOr.fromStatus(forbidden())).build();
    }

    private static Status forbidden() {
      Refusal refusal = new Refusal("NETWORK_FORBIDDEN", "the address lies in no network that this client may dial");
      return Status.UNAVAILABLE.withCause(refusal);
    }
  }
}
