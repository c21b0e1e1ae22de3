package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;

import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.federation.v1.Role;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** How locations are put together to sessions. */
final class OrderTest {
  private static Search.RecordLocation location(String hospital, String department, int handle) {
    VerifiedParty party = new VerifiedParty(Role.ROLE_HOSPITAL, hospital, null, null, null, null, null, null, null, null, null);
    return new Search.RecordLocation(new Handshake.Peer(party, null, null), "there:1", department, ByteBuffer.allocate(16).putInt(handle).array());
  }

  @Test
  void thereIsOneSessionForEachHospitalAndClass() {
    List<Search.RecordLocation> locations =
        List.of(
            location("H:a", "H:a/cardiology", 1),
            location("H:b", "H:b/cardiology", 2),
            location("H:a", "H:a/cardiology.ward-2", 3),
            location("H:a", "H:a/radiology", 4));
    List<Order> orders = Order.of(locations);
    assertEquals(List.of("H:a", "H:b", "H:a"), orders.stream().map(Order::hospitalId).toList());
    assertEquals(List.of("cardiology", "cardiology", "radiology"), orders.stream().map(Order::departmentClass).toList());
    assertEquals(List.of(2, 1, 1), orders.stream().map(order -> order.scope().getHandlesCount()).toList());
  }

  @Test
  void sessionNamesNoMoreThanItsMessageHolds() {
    List<Search.RecordLocation> locations = new ArrayList<>();
    for (int handle = 0; handle < 130; handle++) {
      locations.add(location("H:a", "H:a/cardiology", handle));
    }
    assertEquals(List.of(64, 64, 2), Order.of(locations).stream().map(order -> order.handles().size()).toList());
  }
}
