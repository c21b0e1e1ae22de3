package example.medunion.client;

import example.medunion.client.calls.PatientClient.Offer;
import example.medunion.client.calls.RoomView;
import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.AccessStatements.Terms;
import example.medunion.client.protocol.DoctorCertificate;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Sensitivity;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1String;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x500.style.BCStyle;

/** Visits and consents in words: who is there, where on duty; for whom, what, where, until when. */
final class VisitWords {
  private VisitWords() {}

  /** Who is in a room, by whose word, and where on duty: what a patient reads before it consents to anything. */
  static List<String> who(RoomView view) {
    byte[] certificate = view.doctor().certificate();
    List<String> lines = new ArrayList<>();
    lines.add("You are about to visit " + view.doctor().identity());
    Stream.of(BCStyle.CN, BCStyle.T, BCStyle.OU, BCStyle.O)
        .map(name -> named(certificate, name))
        .filter(words -> !words.isEmpty() && !words.equals(view.doctor().identity()))
        .forEach(words -> lines.add("  " + words));
    lines.add("  certified by " + view.doctor().party().authorityId());
    lines.add("  " + onDuty(view.duty()));
    return lines;
  }

  static String onDuty(Access.Duty duty) {
    String classes = duty.departmentClasses().isEmpty() ? "no department" : and(duty.departmentClasses());
    return "on duty at " + duty.hospitalId() + " in " + classes + ", until " + moment(duty.validity().notAfter());
  }

  /** What a visit consents to, one thing a line; null is nothing beyond it. */
  static List<String> consent(Offer offer, long now) {
    if (offer == null) {
      return List.of("Nothing beyond this visit: no record of it is kept at the hospital, and none of yours is read.");
    }
    Terms terms = offer.terms();
    List<String> lines = new ArrayList<>();
    lines.add("For " + grantee(offer.grantee()) + ", until " + moment(now + terms.life().toMillis()) + ":");
    lines.addAll(
        rights(terms.rights(), terms.hospitals(), terms.departmentClasses(), terms.highestSensitivity(), "your"));
    lines.add("All else stays closed. You can take it back at any time.");
    return lines;
  }

  /** A consent that was given, one thing a line; `whose` records are "your", or "the patient's". */
  static List<String> grant(Access.Grant grant, String whose) {
    List<String> lines = new ArrayList<>();
    lines.add("For " + grantee(grant.grantee()) + ", until " + moment(grant.validity().notAfter()) + ":");
    lines.addAll(
        rights(grant.rights(), grant.hospitals(), grant.departmentClasses(), grant.highestSensitivity(), whose));
    return lines;
  }

  /** Whom a consent is for. */
  static String grantee(Access.Grantee grantee) {
    if (grantee instanceof Access.ToDoctor doctor) {
      return doctor.doctorId() + " (certified by " + doctor.authorityId() + ")";
    } else if (grantee instanceof Access.ToDepartment department) {
      return "every doctor on duty in " + department.departmentClass() + " at " + department.hospitalId();
    } else if (grantee instanceof Access.ToHospital hospital) {
      return "every doctor on duty at " + hospital.hospitalId();
    }
    return "nobody that is known here";
  }

  /** A time, in words. */
  static String moment(long millis) {
    return Instant.ofEpochMilli(millis).truncatedTo(ChronoUnit.SECONDS).toString();
  }

  private static List<String> rights(
      List<Right> rights, List<String> hospitals, List<String> classes, Sensitivity highest, String whose) {
    String where = hospitals.contains(Access.ANY) ? "every hospital" : named(hospitals, "no hospital");
    String what = classes.contains(Access.ANY) ? "every department" : named(classes, "no department");
    String closed = highest == Sensitivity.SENSITIVITY_RESTRICTED ? ", restricted ones too" : "";
    List<String> lines = new ArrayList<>();
    if (rights.contains(Right.RIGHT_WRITE)) {
      lines.add("  - Keep the record of a visit at " + where + ", in " + what + ".");
    }
    boolean finds = rights.contains(Right.RIGHT_INDEX);
    if (rights.contains(Right.RIGHT_READ)) {
      String verb = finds ? "Find and read " : "Read ";
      lines.add("  - " + verb + whose + " records at " + where + ", of " + what + closed + ".");
    } else if (finds) {
      lines.add("  - See at which hospitals " + whose + " records of " + what + " are, and read none.");
    }
    return lines.isEmpty() ? List.of("  Nothing.") : lines;
  }

  private static String named(List<String> names, String none) {
    return names.isEmpty() ? none : and(names);
  }

  private static String and(List<String> names) {
    int last = names.size() - 1;
    return last == 0 ? names.get(0) : String.join(", ", names.subList(0, last)) + " and " + names.get(last);
  }

  /** What Cert_D, for which its authority vouches, says of its doctor under a name. */
  private static String named(byte[] certificate, ASN1ObjectIdentifier name) {
    byte[] subject = DoctorCertificate.read(certificate).getSubjectX500Principal().getEncoded();
    return Stream.of(X500Name.getInstance(subject).getRDNs(name))
        .map(part -> part.getFirst().getValue())
        .filter(ASN1String.class::isInstance)
        .map(value -> ((ASN1String) value).getString())
        .collect(Collectors.joining(" "));
  }
}
