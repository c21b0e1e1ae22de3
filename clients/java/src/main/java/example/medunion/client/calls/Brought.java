package example.medunion.client.calls;

import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.Places;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Search;
import example.medunion.federation.v1.IndexDepartment;
import example.medunion.federation.v1.KeptPlaces;
import io.grpc.ManagedChannel;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** Where records are by what a patient brought, as far as its grant covers it: for where the public cloud does not answer. */
record Brought(Home home, Access.Grant grant, Consumer<String> tell) {
  /** Verifies it, and asks each hospital who it is; one that does not say is told, and nothing more. Refuses as {@link Places#read}. */
  List<Search.RecordLocation> locations(KeptPlaces kept, String patientId) {
    home.hearHead(kept.getRevocationHead());
    long now = System.currentTimeMillis();
    Places places = Places.read(kept, patientId, home.verifier(now), now);
    String asOf = Instant.ofEpochMilli(places.asOf()).toString();
    tell.accept(
        "The public cloud does not answer. The patient's device says where records are, as of " + asOf + ". SOME MAY BE MISSING.");
    List<Search.RecordLocation> locations = new ArrayList<>();
    for (Places.Hospital hospital : places.hospitals()) {
      if (!Access.covers(grant.hospitals(), hospital.hospitalId())) {
        continue;
      }
      try {
        locations.addAll(at(hospital));
      } catch (Refusal refusal) {
        tell.accept("RECORDS AT " + hospital.hospitalId() + " ARE MISSING: " + refusal.plain());
      }
    }
    return locations;
  }

  private List<Search.RecordLocation> at(Places.Hospital hospital) {
    ManagedChannel channel = home.hospitalChannel(hospital.address(), hospital.hospitalId());
    try {
      Handshake.Peer peer = HospitalSession.address(channel, hospital.hospitalId(), home);
      List<Search.RecordLocation> locations = new ArrayList<>();
      for (IndexDepartment department : hospital.departments()) {
        String id = department.getDepartmentId();
        if (Access.covers(grant.departmentClasses(), Order.classOf(id))) {
          department
              .getHandlesList()
              .forEach(it -> locations.add(new Search.RecordLocation(peer, hospital.address(), id, it.toByteArray())));
        }
      }
      return locations;
    } finally {
      channel.shutdownNow();
    }
  }
}
