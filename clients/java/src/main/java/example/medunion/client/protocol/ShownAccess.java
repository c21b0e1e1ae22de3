package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.AccessStatements.Labelled;
import example.medunion.federation.v1.Consent;
import example.medunion.federation.v1.DeclaredEmergency;
import example.medunion.federation.v1.Deputyship;
import example.medunion.federation.v1.OwnAccess;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SecondClinician;
import example.medunion.federation.v1.ShownDuty;
import example.medunion.federation.v1.SignedStatement;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/**
 * What somebody shows for access to a patient's records; `access` is null where that is nothing. Here are its digests, and a doctor's
 * way from a consent to {@link Decision}. What is shown is nobody's right yet.
 */
public record ShownAccess(String patientId, example.medunion.federation.v1.Access access) {
  private static final Access.Policy POLICY = new Access.Policy(Freshness.SKEW, null);

  /** Shows a consent, null for none, and that one is on duty, null where no duty is shown. */
  public static ShownAccess byConsent(String patientId, Consent consent, ShownDuty duty) {
    if (consent == null) {
      return new ShownAccess(patientId, null);
    }
    Consent shown = duty == null ? consent : consent.toBuilder().setDuty(duty).build();
    return new ShownAccess(patientId, example.medunion.federation.v1.Access.newBuilder().setConsent(shown).build());
  }

  /** Shows that these are one's own records. */
  public static ShownAccess own(String patientId) {
    OwnAccess own = OwnAccess.getDefaultInstance();
    return new ShownAccess(patientId, example.medunion.federation.v1.Access.newBuilder().setOwn(own).build());
  }

  /** The consent that is shown, if it is one. */
  public Optional<Consent> consent() {
    return access != null && access.hasConsent() ? Optional.of(access.getConsent()) : Optional.empty();
  }

  /** What its grant says, unverified: for who shows it. */
  public Optional<Access.Grant> claimedGrant() {
    return consent().map(consent -> AccessStatements.peekGrant(consent.getGrant()));
  }

  /** H(access), or nothing where nothing is shown: in c_P and Sig_HPC2. */
  byte[] digest() {
    return access == null ? Bytes.EMPTY : transcript("access", Labelled::digest).digest();
  }

  /** Hs(access), or nothing where nothing is shown: nothing that is decided by can be exchanged under Sig_D2. */
  byte[] signedDigest() {
    if (access == null) {
      return Bytes.EMPTY;
    }
    Optional<SecondClinician> second =
        emergency().filter(DeclaredEmergency::hasSecond).map(DeclaredEmergency::getSecond);
    return transcript("access-signed", Labelled::signedDigest)
        .add(keyDigest(consent().map(Consent::getKeyStatement)))
        .add(keyDigest(deputyship().map(Deputyship::getKeyStatement)))
        .add(keyDigest(duty().map(ShownDuty::getKeyStatement)))
        .add(second.map(SecondClinician::getSignature).orElse(ByteString.EMPTY))
        .add(keyDigest(second.map(SecondClinician::getKeyStatement)))
        .add(Statements.certificateDigest(second.map(SecondClinician::getDoctorCertificate).orElse(ByteString.EMPTY)))
        .digest();
  }

  /** H(grant), or nothing without one: in Sig_P2, when no duty is known yet. */
  byte[] grantDigest() {
    return consent().map(consent -> Transcript.statementDigest("grant", consent.getGrant())).orElse(Bytes.EMPTY);
  }

  /**
   * Verifies the consent that is shown, and decides on it for this doctor, whatever it is to do: whether it is of use now. Refuses with
   * what is wrong with it, REJECTED for a false party behind it.
   */
  void requireOfUse(VerifiedParty doctor, Verifier verifier, long now) {
    Access.Consent opened = opened(consent().orElseThrow(), doctor, verifier, now);
    Access.Question question = new Access.Question(asker(doctor), null, patientId, null, null);
    if (Decision.on(opened, question, standing(opened, verifier.lists()), POLICY, now)
        instanceof Decision.Refused refused) {
      throw refused.refusal();
    }
  }

  /** Requires that a doctor is on duty at a hospital now, as it is shown, and gives where (code.5-7). */
  public static Access.Duty requireOnDuty(
      ShownDuty shown, VerifiedParty doctor, String hospitalId, Verifier verifier, long now) {
    VerifiedParty hospital = verifier.party(shown.getKeyStatement(), Role.ROLE_HOSPITAL, now); // code.5
    Access.Duty duty = AccessStatements.openDuty(shown, hospital, doctor); // code.6
    boolean revoked = verifier.lists().isRevoked("duty", duty.hospitalId(), duty.id());
    Access.Standing standing = Access.Standing.of(revoked ? Set.of("duty") : Set.of());
    Access.Question question = new Access.Question(asker(doctor), null, null, null, null);
    new AccessRules(question, standing, POLICY, now).requireDuty(duty, hospitalId); // code.7
    return duty;
  }

  private static Access.Asker asker(VerifiedParty party) {
    return new Access.Asker(party.role(), party.identity(), party.authorityId());
  }

  private static Access.Consent opened(Consent shown, VerifiedParty doctor, Verifier verifier, long now) {
    VerifiedParty signer = party(shown.getKeyStatement(), Role.ROLE_PATIENT, verifier, now); // shown.1
    Access.Grant grant = AccessStatements.openGrant(shown, signer);
    Access.Deputyship deputyship = null;
    if (shown.hasDeputyship()) {
      Deputyship by = shown.getDeputyship();
      boolean mandate = AccessStatements.statementOf(by).label().equals("mandate");
      Role role = mandate ? Role.ROLE_PATIENT : Role.ROLE_HOSPITAL;
      VerifiedParty stated = party(by.getKeyStatement(), role, verifier, now); // shown.5
      deputyship = AccessStatements.openDeputyship(by, stated);
    }
    Access.Duty duty = null;
    if (shown.hasDuty()) {
      VerifiedParty hospital = party(shown.getDuty().getKeyStatement(), Role.ROLE_HOSPITAL, verifier, now); // shown.8
      duty = AccessStatements.openDuty(shown.getDuty(), hospital, doctor);
    }
    return new Access.Consent(grant, deputyship, duty);
  }

  private static VerifiedParty party(SignedStatement signed, Role role, Verifier verifier, long now) {
    return Refusal.afterOpening(() -> verifier.party(signed, role, now));
  }

  /** Which of the statements were taken back, each by itself or with all that its patient signed. */
  private static Access.Standing standing(Access.Consent consent, Lists lists) {
    Set<String> revoked = new HashSet<>();
    Access.Grant grant = consent.grant();
    if (lists.isTakenBack("grant", grant.patientId(), grant.id(), grant.statedAt())) {
      revoked.add("grant");
    }
    Access.Deputyship by = consent.deputyship();
    if (by != null && isTakenBack(by, lists)) {
      revoked.add("deputyship");
    }
    Access.Duty duty = consent.duty();
    if (duty != null && lists.isRevoked("duty", duty.hospitalId(), duty.id())) {
      revoked.add("duty");
    }
    return Access.Standing.of(revoked);
  }

  private static boolean isTakenBack(Access.Deputyship by, Lists lists) {
    // A guardian not under the patient: another hospital could state one of the same id, and take that back.
    return by.kind().equals("mandate")
        ? lists.isTakenBack(by.kind(), by.patientId(), by.id(), by.statedAt())
        : lists.isRevoked(by.kind(), by.statedBy(), by.id());
  }

  /** T of the ground and the statements that are shown, each by this digest, or nothing where there is none. */
  private Transcript transcript(String label, Function<Labelled, byte[]> digest) {
    String ground =
        switch (access.getGroundCase()) {
          case CONSENT -> "consent";
          case OWN -> "own";
          case EMERGENCY -> "emergency";
          case GROUND_NOT_SET -> "";
        };
    Optional<Labelled> main =
        consent()
            .map(consent -> new Labelled("grant", consent.getGrant()))
            .or(() -> emergency().map(declared -> new Labelled("bg", declared.getEmergency())));
    return Transcript.of(label)
        .add(ground)
        .add(main.map(digest).orElse(Bytes.EMPTY))
        .add(deputyship().map(AccessStatements::statementOf).map(digest).orElse(Bytes.EMPTY))
        .add(duty().map(shown -> new Labelled("duty", shown.getDuty())).map(digest).orElse(Bytes.EMPTY));
  }

  private static byte[] keyDigest(Optional<SignedStatement> key) {
    return key.map(signed -> Transcript.signedDigest("ks", signed)).orElse(Bytes.EMPTY);
  }

  private Optional<DeclaredEmergency> emergency() {
    return access.hasEmergency() ? Optional.of(access.getEmergency()) : Optional.empty();
  }

  private Optional<Deputyship> deputyship() {
    Optional<Deputyship> own =
        access.getOwn().hasDeputyship() ? Optional.of(access.getOwn().getDeputyship()) : Optional.empty();
    return consent().filter(Consent::hasDeputyship).map(Consent::getDeputyship).or(() -> own);
  }

  private Optional<ShownDuty> duty() {
    return consent()
        .filter(Consent::hasDuty)
        .map(Consent::getDuty)
        .or(() -> emergency().filter(DeclaredEmergency::hasDuty).map(DeclaredEmergency::getDuty));
  }
}
