package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.federation.v1.IndexDepartment;
import example.medunion.federation.v1.KeptDepartment;
import example.medunion.federation.v1.KeptPlace;
import example.medunion.federation.v1.KeptPlaces;
import example.medunion.federation.v1.PlacesPage;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Where a patient has records, as it brings it to a doctor: pages of the public cloud's answers to its own search, verified
 * (docs/protocol.md, P2); as of the oldest of them.
 */
public record Places(long asOf, List<Hospital> hospitals) {
  /** How long after the cloud's answer they are of use. */
  static final long LIFE = Duration.ofDays(90).toMillis();

  /** A hospital where the patient has records, by the cloud's word of then. */
  public record Hospital(String hospitalId, String address, List<IndexDepartment> departments) {}

  /**
   * Verifies what a patient brings, and gives what is shown of it. Refuses with FIELD_INVALID, FUTURE_DATED, PLACES_OUTDATED,
   * CLOUD_KEY_UNKNOWN, CLOUD_KEY_REVOKED, SIGNATURE_INVALID, DEPARTMENT_FOREIGN.
   */
  public static Places read(KeptPlaces kept, String patientId, Verifier verifier, long now) {
    require(kept.getPagesCount() > 0, "FIELD_INVALID", "nothing is kept of a search"); // places.1
    for (PlacesPage page : kept.getPagesList()) {
      Freshness.requireNotFuture(page.getSentAt(), now); // places.2
      boolean ofUse = now - page.getSentAt() <= LIFE;
      require(ofUse, "PLACES_OUTDATED", "where the patient has records was looked up too long ago"); // places.3
      byte[] key = verifier.bundle().cloudKeyAt(page.getSentAt()); // places.4
      Statements.verifySignature(key, page.getSignature(), covered(page, patientId)); // places.5
    }
    List<Hospital> hospitals = new ArrayList<>();
    for (PlacesPage page : kept.getPagesList()) {
      page.getPlacesList().stream().filter(KeptPlace::hasHospitalId).map(Places::shown).forEach(hospitals::add);
    }
    long oldest = kept.getPagesList().stream().mapToLong(PlacesPage::getSentAt).min().orElseThrow();
    return new Places(oldest, hospitals);
  }

  /** What Sig_C of a page covers: that this patient's records were found there. */
  private static byte[] covered(PlacesPage page, String patientId) {
    List<byte[]> places = page.getPlacesList().stream().map(Places::digest).toList();
    byte[] none = Bytes.sha256(Transcript.listing(List.of()));
    return Search.pageTranscript(page, "found", patientId, places, none, Bytes.EMPTY);
  }

  private static Hospital shown(KeptPlace place) {
    String id = place.getHospitalId();
    List<IndexDepartment> departments =
        place.getDepartmentsList().stream().filter(KeptDepartment::hasShown).map(KeptDepartment::getShown).toList();
    boolean own = departments.stream().allMatch(it -> it.getDepartmentId().startsWith(id + "/"));
    require(own, "DEPARTMENT_FOREIGN", "a place names a department of another hospital"); // places.6
    return new Hospital(id, place.getAddress(), departments);
  }

  /** H(place), of one that is shown or not. What is shown is what is signed, whatever digest stands beside it. */
  private static byte[] digest(KeptPlace place) {
    if (!place.hasHospitalId()) {
      return place.getDigest().toByteArray();
    }
    List<byte[]> departments =
        place.getDepartmentsList().stream()
            .map(it -> it.hasShown() ? Search.departmentDigest(it.getShown()) : it.getDigest().toByteArray())
            .toList();
    return Search.placeDigest(place.getHospitalId(), place.getAddress(), place.getDigest().toByteArray(), departments);
  }
}
