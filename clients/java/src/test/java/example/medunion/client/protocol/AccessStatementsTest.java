package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.federation.v1.Consent;
import example.medunion.federation.v1.DeclaredEmergency;
import example.medunion.federation.v1.Deputyship;
import example.medunion.federation.v1.OwnAccess;
import example.medunion.federation.v1.Power;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SecondClinician;
import example.medunion.federation.v1.Sensitivity;
import example.medunion.federation.v1.ShownDuty;
import example.medunion.federation.v1.SignedStatement;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The statements that are shown for access: made, opened, decided on, and what is hashed of them. */
class AccessStatementsTest {
  static final AccessStatements.Terms WIDE = terms(Access.DOCTORS_LIFE);

  private static final JsonObject CAST = Vectors.load("parties");
  private static final long NOW = CAST.get("now").getAsLong();
  private static final JsonObject DOCTOR = CAST.getAsJsonObject("parties").getAsJsonObject("doctor");
  private static final byte[] CERTIFICATE = Vectors.bytes(DOCTOR, "certificate");
  private static final Map<String, SignedStatement> STATEMENTS = new HashMap<>();

  static {
    Vectors.all("statements").forEach(vector -> STATEMENTS.put(Vectors.text(vector, "name"), Vectors.signed(vector)));
  }

  private final Verifier verifier = verifier(List.of());
  private final VerifiedParty chen = verifier.doctor(STATEMENTS.get("ks of the doctor"), CERTIFICATE, NOW);
  private final ShownDuty duty =
      ShownDuty.newBuilder()
          .setDuty(STATEMENTS.get("duty"))
          .setKeyStatement(STATEMENTS.get("ks of the hospital"))
          .build();
  private final Deputyship guardianship =
      Deputyship.newBuilder()
          .setGuardianship(STATEMENTS.get("guardian"))
          .setKeyStatement(STATEMENTS.get("ks of the hospital"))
          .build();
  private final Deputyship mandate =
      Deputyship.newBuilder()
          .setMandate(STATEMENTS.get("mandate"))
          .setKeyStatement(STATEMENTS.get("ks of the patient"))
          .build();
  private final Consent ofDoctor = consent("grant").build();
  private final Consent ofDepartment = consent("grant for a department").build();
  private final Consent byGuardian =
      consent("grant for a hospital, by a guardian").setDeputyship(guardianship).build();

  private static AccessStatements.Terms terms(Duration life) {
    List<Right> rights = List.of(Right.RIGHT_INDEX, Right.RIGHT_READ, Right.RIGHT_WRITE);
    return new AccessStatements.Terms(
        List.of("*"), List.of("*"), rights, Sensitivity.SENSITIVITY_NORMAL, "consultation", life);
  }

  private static Verifier verifier(List<ByteString> revoked) {
    TrustedBundle bundle = null;
    for (var statement : CAST.getAsJsonArray("trust_bundles")) {
      SignedStatement signed = Vectors.signed(statement);
      bundle = bundle == null ? TrustedBundle.pin(signed) : bundle.follow(signed);
    }
    Revoked listed = Revoked.ofVectors();
    for (ByteString entry : revoked) {
      listed = listed.with(entry, 0);
    }
    ByteString crl = ByteString.copyFrom(Vectors.bytes(CAST.getAsJsonObject("authority"), "crl"));
    return new Verifier(bundle, Lists.read(bundle, Vectors.signed(CAST.get("revocation_head")), List.of(crl), listed));
  }

  private static Consent.Builder consent(String name) {
    return Consent.newBuilder()
        .setGrant(STATEMENTS.get(name))
        .setKeyStatement(STATEMENTS.get("ks of the patient"));
  }

  private static Party patient() {
    VerifiedParty self =
        new VerifiedParty(Role.ROLE_PATIENT, "P:wang", new byte[16], null, null, null, null, null, null, null, null);
    SigningKey key = Vectors.signingKey(CAST.getAsJsonObject("parties").getAsJsonObject("patient"));
    return new Party(self, key, null, null, null, null, null);
  }

  private String use(String patientId, Consent consent, ShownDuty shown) {
    return use(patientId, consent, shown, verifier);
  }

  private String use(String patientId, Consent consent, ShownDuty shown, Verifier lists) {
    return Vectors.outcome(() -> ShownAccess.byConsent(patientId, consent, shown).requireOfUse(chen, lists, NOW));
  }

  private static ByteString entry(String label, String owner, ByteString id) {
    return ByteString.copyFrom(Transcript.of("revoked").add(label).add(owner).add(id).digest());
  }

  @Test
  void grantBeginsBeforeItEndsAndLivesAYear() {
    Access.Grantee chen = new Access.ToDoctor("D:chen", "M:chamber");
    Map.of(
            Duration.ofMillis(1), "success",
            Duration.ofDays(366), "success",
            Duration.ofDays(366).plusMillis(1), "GRANT_INVALID",
            Duration.ZERO, "GRANT_INVALID",
            Duration.ofDays(-1), "GRANT_INVALID")
        .forEach(
            (life, expected) -> {
              Runnable make =
                  () -> AccessStatements.makeGrant(patient(), chen, terms(life), null, NOW, Entropy.system());
              assertEquals(expected, Vectors.outcome(make));
            });
  }

  @Test
  void grantNamesItsGranteeAndByWhatADeputySigned() {
    for (Access.Grantee grantee :
        List.of(
            new Access.ToDoctor("D:chen", "M:chamber"),
            new Access.ToDepartment("H:alpha", "cardiology"),
            new Access.ToHospital("H:alpha"))) {
      SignedStatement signed =
          AccessStatements.makeGrant(patient(), grantee, WIDE, guardianship, NOW, Entropy.system());
      Access.Grant grant = AccessStatements.peekGrant(signed);
      assertEquals(grantee, grant.grantee());
      assertEquals(List.of("P:child", "P:wang"), List.of(grant.patientId(), grant.signerId()));
      Consent shown = Consent.newBuilder().setGrant(signed).setDeputyship(guardianship).build();
      VerifiedParty signer = verifier.party(STATEMENTS.get("ks of the patient"), Role.ROLE_PATIENT, NOW);
      Runnable otherSerial = () -> AccessStatements.openGrant(shown, signer);
      assertEquals("GRANT_INVALID", Vectors.outcome(otherSerial));
    }
  }

  @Test
  void mandateLivesFiveYearsAndIsOpenedByWhoSignedIt() {
    List<Power> powers = List.of(Power.POWER_READ);
    Runnable longer =
        () -> AccessStatements.makeMandate(patient(), "P:li", powers, Duration.ofDays(1828), NOW, Entropy.system());
    assertEquals("DEPUTY_INVALID", Vectors.outcome(longer));
    SignedStatement made =
        AccessStatements.makeMandate(patient(), "P:li", powers, Duration.ofDays(1827), NOW, Entropy.system());
    assertEquals("mandate", Revoking.Stated.mandate(made).label());
    VerifiedParty wang = verifier.party(STATEMENTS.get("ks of the patient"), Role.ROLE_PATIENT, NOW);
    VerifiedParty alpha = verifier.party(STATEMENTS.get("ks of the hospital"), Role.ROLE_HOSPITAL, NOW);
    Access.Deputyship opened = AccessStatements.openDeputyship(mandate, wang);
    assertEquals(List.of("P:wang", "P:wang", "P:li"), List.of(opened.statedBy(), opened.patientId(), opened.deputyId()));
    assertEquals("H:alpha", AccessStatements.openDeputyship(guardianship, alpha).statedBy());
    assertEquals("DEPUTY_INVALID", Vectors.outcome(() -> AccessStatements.openDeputyship(mandate, alpha)));
    Deputyship none = Deputyship.getDefaultInstance();
    assertEquals("DEPUTY_INVALID", Vectors.outcome(() -> AccessStatements.openDeputyship(none, alpha)));
  }

  @Test
  void consentIsOfUseToWhomItNames() {
    assertEquals("success", use("P:wang", ofDoctor, null));
    assertEquals("success", use("P:wang", ofDepartment, duty));
    assertEquals("DUTY_MISSING", use("P:wang", ofDepartment, null));
    assertEquals("success", use("P:child", byGuardian, duty));
    assertEquals("GRANT_INVALID", use("P:wang", byGuardian, duty));
    assertEquals("GRANT_INVALID", use("P:child", byGuardian.toBuilder().clearDeputyship().build(), duty));
    assertEquals("GRANT_INVALID", use("P:child", byGuardian.toBuilder().setDeputyship(mandate).build(), duty));
    Consent otherKey = ofDoctor.toBuilder().setKeyStatement(STATEMENTS.get("ks of the hospital")).build();
    assertEquals("CREDENTIAL_INVALID", use("P:wang", otherKey, null));
  }

  @Test
  void whatWasTakenBackIsOfNoUse() {
    Access.Duty stated = AccessStatements.peekDuty(duty);
    Verifier offDuty = verifier(List.of(entry("duty", "H:alpha", stated.id())));
    assertEquals("DUTY_REVOKED", use("P:wang", ofDepartment, duty, offDuty));
    Runnable onDuty = () -> ShownAccess.requireOnDuty(duty, chen, "H:alpha", offDuty, NOW);
    assertEquals("DUTY_REVOKED", Vectors.outcome(onDuty));
    VerifiedParty alpha = verifier.party(STATEMENTS.get("ks of the hospital"), Role.ROLE_HOSPITAL, NOW);
    ByteString guardian = AccessStatements.openDeputyship(guardianship, alpha).id();
    assertEquals("DEPUTY_REVOKED", use("P:child", byGuardian, duty, verifier(List.of(entry("guardian", "H:alpha", guardian)))));
    assertEquals("success", use("P:child", byGuardian, duty, verifier(List.of(entry("guardian", "P:child", guardian)))));
  }

  @Test
  void digestsOfEveryKindOfAccess() {
    SignedStatement bg = STATEMENTS.get("bg");
    byte[] seconded = Transcript.of("bg-second").add(bg.getStatement()).bytes();
    SecondClinician second =
        SecondClinician.newBuilder()
            .setSignature(ByteString.copyFrom(Vectors.signingKey(DOCTOR).sign(seconded)))
            .setKeyStatement(STATEMENTS.get("ks of the doctor"))
            .setDoctorCertificate(ByteString.copyFrom(CERTIFICATE))
            .build();
    DeclaredEmergency declared = DeclaredEmergency.newBuilder().setEmergency(bg).setDuty(duty).build();
    Map<String, ShownAccess> shown =
        Map.of(
            "a consent for a doctor", ShownAccess.byConsent("P:wang", ofDoctor, null),
            "a consent for a department, on duty", ShownAccess.byConsent("P:wang", ofDepartment, duty),
            "a guardian's consent for a hospital, on duty", ShownAccess.byConsent("P:child", byGuardian, duty),
            "one's own", ShownAccess.own("P:wang"),
            "a deputy's", of(access -> access.setOwn(OwnAccess.newBuilder().setDeputyship(mandate))),
            "an emergency, seconded", of(access -> access.setEmergency(declared.toBuilder().setSecond(second))),
            "an emergency", of(access -> access.setEmergency(declared)));
    Map<String, String> known = new HashMap<>();
    Vectors.all("derived").forEach(vector -> known.put(Vectors.text(vector, "name"), Vectors.text(vector, "value")));
    shown.forEach(
        (name, access) -> {
          assertEquals(known.remove("H(access): " + name), Vectors.hex(access.digest()), name);
          assertEquals(known.remove("Hs(access): " + name), Vectors.hex(access.signedDigest()), name);
        });
    assertTrue(known.keySet().stream().noneMatch(name -> name.contains("(access)")), known.keySet().toString());
    assertEquals(0, ShownAccess.byConsent("P:wang", null, duty).signedDigest().length);
  }

  private static ShownAccess of(java.util.function.Consumer<example.medunion.federation.v1.Access.Builder> ground) {
    example.medunion.federation.v1.Access.Builder access = example.medunion.federation.v1.Access.newBuilder();
    ground.accept(access);
    return new ShownAccess("P:wang", access.build());
  }
}
