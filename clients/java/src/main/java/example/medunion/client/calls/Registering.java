package example.medunion.client.calls;

import example.medunion.client.protocol.EncryptionKey;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Registration;
import example.medunion.client.protocol.Rules;
import example.medunion.federation.v1.GetDirectoryResponse;
import example.medunion.federation.v1.OpenRegistrationRequest;
import example.medunion.federation.v1.OpenRegistrationResponse;
import example.medunion.federation.v1.RegisterRequest;
import example.medunion.federation.v1.RegisterResponse;
import example.medunion.federation.v1.RegistrationServiceGrpc;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SealedReply;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.Optional;
import java.util.function.LongSupplier;

/**
 * One registration: reg1, reg2 (eq. 2-10). A program that ends between the cloud's commit and the keeping of S_X would leave a party that is
 * registered and can't act, and whose ticket is used. So reg1 is kept until its answer is: the cloud gives the same answer to the same reg1
 * for 10 minutes.
 */
final class Registering {
  private static final long ANSWER_KEPT = Duration.ofMinutes(10).toMillis();

  private final Home home;
  private final ManagedChannel channel;
  private final GetDirectoryResponse directory;
  private final LongSupplier clock;
  private final Calls.Patience patience;
  private final Entropy entropy;

  /** Of a home that follows this directory already. */
  Registering(
      Home home,
      ManagedChannel channel,
      GetDirectoryResponse directory,
      LongSupplier clock,
      Calls.Patience patience,
      Entropy entropy) {
    this.home = home;
    this.channel = channel;
    this.directory = directory;
    this.clock = clock;
    this.patience = patience;
    this.entropy = entropy;
  }

  /** Registers, or goes on with what was cut short. Gives the credential's serial. */
  byte[] register(byte[] evidence, byte[] ticket) {
    Refusal.require(!home.isRegistered(), "PROFILE_UNUSABLE", home.identity() + " is registered already");
    Optional<byte[]> taken = resume(evidence, ticket);
    return taken.isPresent() ? taken.get() : apply(evidence, ticket);
  }

  /** Takes the answer to a reg1 that an earlier run sent; nothing if there is none, or the cloud never took it. */
  private Optional<byte[]> resume(byte[] evidence, byte[] ticket) {
    Optional<Registration.AwaitingCredential> underWay = underWay(evidence, ticket);
    if (underWay.isEmpty()) {
      return Optional.empty();
    }
    SealedReply reply;
    try {
      reply = answer(underWay.get());
    } catch (Refusal refusal) {
      if (Calls.passes(refusal)) {
        throw refusal; // its answer is lost again
      }
      return Optional.empty();
    }
    return Optional.of(install(underWay.get(), reply));
  }

  private Optional<Registration.AwaitingCredential> underWay(byte[] evidence, byte[] ticket) {
    try {
      return home.registration()
          .map(kept -> Registration.resume(applicant(evidence, ticket), kept))
          .filter(awaiting -> clock.getAsLong() < awaiting.sentAt() + ANSWER_KEPT);
    } catch (Refusal refusal) {
      return Optional.empty(); // of other evidence, or of a key that has ended
    }
  }

  private byte[] apply(byte[] evidence, byte[] ticket) {
    if (home.isEpochDue(clock.getAsLong())) {
      home.beginEpoch(clock.getAsLong(), entropy);
    }
    OpenRegistrationResponse opened =
        Rules.checkOuter(
            Calls.call(() -> Calls.timed(service()).openRegistration(OpenRegistrationRequest.getDefaultInstance())));
    long now = clock.getAsLong();
    EncryptionKey key = home.verifier(now).cloudEncryptionKey(opened.getCloudEncryptionKeyStatement(), now);
    Registration.AwaitingCredential awaiting =
        Registration.apply(applicant(evidence, ticket), opened.getChallenge().toByteArray(), key, now);
    home.keepRegistration(awaiting.keep(), entropy);
    return install(awaiting, answer(awaiting));
  }

  /** Sends the same reg1 until it is answered. One that is refused is over; one whose answer is lost may be taken later. */
  private SealedReply answer(Registration.AwaitingCredential awaiting) {
    RegisterRequest request = RegisterRequest.newBuilder().setOpening(awaiting.opening()).build();
    try {
      return Rules.checkOuter(Calls.repeated(channel, patience, () -> patience.timed(service()).register(request)))
          .getReply();
    } catch (Refusal refusal) {
      if (!Calls.passes(refusal)) {
        home.forgetRegistration();
      }
      throw refusal;
    }
  }

  private byte[] install(Registration.AwaitingCredential awaiting, SealedReply reply) {
    Registration.Registered registered =
        awaiting.receive(
            reply, home.bundle(), home.crls(), clock.getAsLong());
    Registration.Applicant applicant = awaiting.applicant();
    byte[] certificate = applicant.role() == Role.ROLE_DOCTOR ? applicant.evidence() : new byte[0];
    home.install(registered.party(), registered.registrationSecret(), certificate, entropy);
    return registered.party().serial();
  }

  private Registration.Applicant applicant(byte[] evidence, byte[] ticket) {
    return new Registration.Applicant(
        home.identity().startsWith("D:") ? Role.ROLE_DOCTOR : Role.ROLE_PATIENT,
        home.identity(),
        evidence,
        ticket,
        home.keys().signingKey(),
        home.decryptionKey(),
        home.encryptionKeyStatement());
  }

  private RegistrationServiceGrpc.RegistrationServiceBlockingStub service() {
    return RegistrationServiceGrpc.newBlockingStub(channel);
  }
}
