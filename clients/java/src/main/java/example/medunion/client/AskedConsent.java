package example.medunion.client;

import static example.medunion.client.Arguments.requireForm;

import example.medunion.client.Arguments.UsageException;
import example.medunion.client.calls.PatientClient.Offer;
import example.medunion.client.calls.RoomView;
import example.medunion.client.protocol.Access;
import example.medunion.client.protocol.AccessStatements.Terms;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Rules;
import example.medunion.federation.v1.Kind;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Sensitivity;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * What a patient asks for on the command line when it consents: the narrowest, where nothing is said. `whomClass` is null unless a department's
 * class is named, `life` for what is usual of whom it is for.
 */
record AskedConsent(
    String whom,
    String whomClass,
    boolean keep,
    List<String> read,
    List<String> departments,
    boolean restricted,
    Duration life) {
  private static final String HERE = "here";
  private static final String EVERYWHERE = "everywhere";
  private static final String DEPARTMENT = "department";
  private static final String HOSPITAL = "hospital";
  private static final Map<String, Duration> LIVES =
      Map.of("doctor", Access.DOCTORS_LIFE, DEPARTMENT, Access.DEPARTMENTS_LIFE, HOSPITAL, Access.HOSPITALS_LIFE);
  private static final String PURPOSE = "consultation";

  static AskedConsent of(Arguments arguments) {
    String[] whom = arguments.orElse("for", "doctor").split(":", 2);
    boolean classed = whom.length == 2;
    requireForm("for", LIVES.containsKey(whom[0]) && (!classed || isClassOfDepartment(whom)));
    for (String place : arguments.all("read")) {
      boolean word = place.equals(HERE) || place.equals(EVERYWHERE);
      requireForm("read", word || Rules.hasForm(Kind.KIND_HOSPITAL_ID, place));
    }
    for (String name : arguments.all("department")) {
      requireForm("department", Rules.hasForm(Kind.KIND_DEPARTMENT_CLASS, name));
    }
    return new AskedConsent(
        whom[0],
        classed ? whom[1] : null,
        !arguments.has("no-keep"),
        arguments.all("read"),
        arguments.all("department"),
        arguments.has("restricted"),
        life(arguments));
  }

  private static boolean isClassOfDepartment(String[] whom) {
    return whom[0].equals(DEPARTMENT) && Rules.hasForm(Kind.KIND_DEPARTMENT_CLASS, whom[1]);
  }

  private static Duration life(Arguments arguments) {
    if (!arguments.has("hours")) {
      return null;
    }
    Duration life =
        Duration.ofMillis(Math.round(3_600_000 * arguments.number("hours", "", 4, Access.LONGEST_GRANT.toHours())));
    if (life.isZero()) {
      throw new UsageException("--hours is too little");
    }
    return life;
  }

  /** Requires department classes that the federation has: a consent to others would open nothing. */
  void requirePublished(List<String> published) {
    boolean known = published.containsAll(departments) && (whomClass == null || published.contains(whomClass));
    Refusal.require(known, "FIELD_INVALID", "the federation has the departments " + String.join(", ", published));
  }

  /** What a visit to this doctor consents to, null for nothing beyond it. */
  Offer offer(RoomView view) {
    return keep || !read.isEmpty() ? new Offer(grantee(view), terms(view.duty())) : null;
  }

  private Access.Grantee grantee(RoomView view) {
    Access.Duty duty = view.duty();
    return switch (whom) {
      case HOSPITAL -> new Access.ToHospital(duty.hospitalId());
      case DEPARTMENT -> new Access.ToDepartment(duty.hospitalId(), classOn(duty));
      default -> new Access.ToDoctor(view.doctor().identity(), view.doctor().party().authorityId());
    };
  }

  private Terms terms(Access.Duty duty) {
    List<Right> rights = new ArrayList<>();
    if (!read.isEmpty()) {
      rights.addAll(List.of(Right.RIGHT_INDEX, Right.RIGHT_READ));
    }
    if (keep) {
      rights.add(Right.RIGHT_WRITE);
    }
    Sensitivity highest = restricted ? Sensitivity.SENSITIVITY_RESTRICTED : Sensitivity.SENSITIVITY_NORMAL;
    Duration lasting = life == null ? LIVES.get(whom) : life;
    return new Terms(hospitals(duty), classes(duty), rights, highest, PURPOSE, lasting);
  }

  private List<String> hospitals(Access.Duty duty) {
    if (read.contains(EVERYWHERE)) {
      return List.of(Access.ANY);
    }
    Stream<String> here = keep ? Stream.of(HERE) : Stream.empty();
    return Stream.concat(here, read.stream())
        .map(place -> place.equals(HERE) ? duty.hospitalId() : place)
        .distinct()
        .toList();
  }

  /** What is only kept stays in the departments where the doctor works; who lets records be read means those of all. */
  private List<String> classes(Access.Duty duty) {
    if (!departments.isEmpty()) {
      return departments;
    }
    boolean kept = read.isEmpty() && !duty.departmentClasses().isEmpty();
    return kept ? duty.departmentClasses() : List.of(Access.ANY);
  }

  /** The department that is meant: the doctor has to be on duty there, else the consent would be of no use. */
  private String classOn(Access.Duty duty) {
    List<String> classes = duty.departmentClasses();
    boolean one = whomClass == null ? classes.size() == 1 : classes.contains(whomClass);
    String which = String.join(", ", classes);
    Refusal.require(one, "DUTY_INVALID", "--for department:CLASS needs one where the doctor is on duty, of: " + which);
    return whomClass == null ? classes.get(0) : whomClass;
  }
}
