package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Search;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.Scope;
import java.util.ArrayList;
import java.util.List;

/** What one session asks for: records of one class at one hospital. */
record Order(Search.RecordLocation location, String departmentClass, List<ByteString> handles) {
  private static final int MOST_HANDLES = 64;

  /** Puts locations together: a session for each hospital and class, or several where one can't name all. */
  static List<Order> of(List<Search.RecordLocation> locations) {
    List<Order> orders = new ArrayList<>();
    for (Search.RecordLocation location : locations) {
      String name = classOf(location.departmentId());
      Order order =
          orders.stream()
              .filter(other -> other.takes(location, name))
              .findFirst()
              .orElseGet(
                  () -> {
                    Order another = new Order(location, name, new ArrayList<>());
                    orders.add(another);
                    return another;
                  });
      order.handles.add(ByteString.copyFrom(location.handle()));
    }
    return orders;
  }

  String hospitalId() {
    return location.hospital().identity();
  }

  Scope scope() {
    return Scope.newBuilder()
        .setPurpose(Purpose.PURPOSE_READ)
        .setDepartmentClass(departmentClass)
        .addAllHandles(handles)
        .build();
  }

  private boolean takes(Search.RecordLocation another, String name) {
    return hospitalId().equals(another.hospital().identity())
        && departmentClass.equals(name)
        && handles.size() < MOST_HANDLES;
  }

  /** The class of ID_HPC/class[.local]. */
  static String classOf(String departmentId) {
    String department = departmentId.substring(departmentId.indexOf('/') + 1);
    int local = department.indexOf('.');
    return local < 0 ? department : department.substring(0, local);
  }
}
