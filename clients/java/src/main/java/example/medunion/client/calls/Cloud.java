package example.medunion.client.calls;

import example.medunion.client.protocol.EncryptionKey;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Lists;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Registration;
import example.medunion.client.protocol.Renewal;
import example.medunion.client.protocol.Rules;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.TrustedBundle;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.DirectoryServiceGrpc;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.GetDirectoryRequest;
import example.medunion.federation.v1.GetDirectoryResponse;
import example.medunion.federation.v1.GetTrustBundlesRequest;
import example.medunion.federation.v1.MembershipServiceGrpc;
import example.medunion.federation.v1.OpenRegistrationRequest;
import example.medunion.federation.v1.OpenRegistrationResponse;
import example.medunion.federation.v1.PutEncryptionKeyRequest;
import example.medunion.federation.v1.PutEncryptionKeyResponse;
import example.medunion.federation.v1.RegisterRequest;
import example.medunion.federation.v1.RegistrationServiceGrpc;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SearchRequest;
import example.medunion.federation.v1.SearchServiceGrpc;
import example.medunion.federation.v1.SignedStatement;
import io.grpc.ManagedChannel;
import java.util.ArrayList;
import java.util.List;

/** The calling side towards the public cloud, for patients and doctors alike. */
public final class Cloud implements AutoCloseable {
  private final ManagedChannel channel;

  public Cloud(TrustedBundle bundle) {
    channel = Calls.channel(bundle.content().getCloudAddress(), bundle.content().getCloudId(), bundle);
  }

  /** Brings a home's trust bundle and lists up to date. Neither goes back. */
  public void refresh(Home home) {
    refreshed(home);
  }

  /** Registers: reg1, reg2 (eq. 2-10), and keeps what came. Gives the credential's serial. */
  public byte[] register(Home home, Registration.Applicant applicant, Entropy entropy) {
    GetDirectoryResponse directory = directory();
    TrustedBundle bundle = home.bundle();
    Lists lists = Lists.read(bundle, directory.getRevocationList(), directory.getCertificateRevocationListsList());
    OpenRegistrationResponse opened =
        Rules.check(
            Calls.call(
                () ->
                    Calls.timed(RegistrationServiceGrpc.newBlockingStub(channel))
                        .openRegistration(OpenRegistrationRequest.getDefaultInstance())));
    long now = System.currentTimeMillis();
    EncryptionKey key =
        new Verifier(bundle, lists).cloudEncryptionKey(opened.getCloudEncryptionKeyStatement(), now);
    Registration.AwaitingCredential awaiting =
        Registration.apply(applicant, opened.getChallenge().toByteArray(), key, now);
    RegisterRequest request = RegisterRequest.newBuilder().setOpening(awaiting.opening()).build();
    // The same reg1 again gets the same answer: a lost connection costs no ticket.
    SealedReply reply =
        Calls.repeated(() -> Calls.timed(RegistrationServiceGrpc.newBlockingStub(channel)).register(request)).getReply();
    Registration.Registered registered =
        awaiting.receive(reply, bundle, directory.getCertificateRevocationListsList(), System.currentTimeMillis());
    byte[] certificate = applicant.role() == Role.ROLE_DOCTOR ? applicant.evidence() : new byte[0];
    home.install(registered.party().keyStatement(), registered.registrationSecret(), certificate, entropy);
    return registered.party().serial();
  }

  /** Begins the next epoch of the encryption key: kept first, sent then (ekput), announced once its receipt is here (ekack). */
  public EncryptionKeyStatement renew(Home home, Entropy entropy) {
    Refusal.require(home.isRegistered(), "NOT_REGISTERED", home.identity() + " is not registered yet");
    GetDirectoryResponse directory = refreshed(home);
    SignedStatement next = home.nextEpoch(System.currentTimeMillis(), entropy);
    put(home, next, directory);
    home.announce(next);
    return Statements.peek(EncryptionKeyStatement.getDefaultInstance(), next);
  }

  /** Puts the EK_X that is announced once more, for the KS_X that comes beside the receipt: a rotated PRK_C signs it anew. */
  public void restate(Home home) {
    put(home, home.encryptionKeyStatement(), refreshed(home));
  }

  /** Asks where a patient's records are of one class, or of "*": D2 and C, every page. */
  public List<Search.Place> search(
      Home home, String patientId, String departmentClass, SignedStatement grant, SignedStatement patient, Entropy entropy) {
    List<Search.Place> places = new ArrayList<>();
    SignedStatement statement = directory().getCloudEncryptionKeyStatement();
    int pages = 1;
    for (int page = 0; page < pages; page++) {
      long now = System.currentTimeMillis();
      EncryptionKey key = home.verifier(now).cloudEncryptionKey(statement, now);
      Search.Question question = new Search.Question(patientId, departmentClass, page, grant, patient);
      Search.AwaitingAnswer awaiting = Search.ask(home.party(now), question, key, now, entropy);
      SearchRequest request = SearchRequest.newBuilder().setOpening(awaiting.opening()).build();
      SealedReply reply =
          Calls.call(() -> Calls.timed(SearchServiceGrpc.newBlockingStub(channel)).search(request)).getReply();
      long heard = System.currentTimeMillis();
      Search.Answer answer = awaiting.receive(reply, home.verifier(heard), heard);
      places.addAll(answer.places());
      pages = answer.pages();
    }
    return places;
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }

  private void put(Home home, SignedStatement epoch, GetDirectoryResponse directory) {
    Renewal.Renewed renewed;
    try {
      renewed = putOnce(home, epoch, directory);
    } catch (Refusal refusal) {
      if (!refusal.reason().equals("UNKNOWN_KEY_ID")) {
        throw refusal;
      }
      renewed = putOnce(home, epoch, refreshed(home)); // EK_C has changed meanwhile
    }
    renewed.keyStatement().ifPresent(home::restate);
  }

  private Renewal.Renewed putOnce(Home home, SignedStatement epoch, GetDirectoryResponse directory) {
    long begun = System.currentTimeMillis();
    EncryptionKey key =
        home.verifier(begun).cloudEncryptionKey(directory.getCloudEncryptionKeyStatement(), begun);
    // Made anew each time: the cloud takes no ekput twice.
    return Calls.repeated(
        () -> {
          long now = System.currentTimeMillis();
          Renewal.AwaitingReceipt awaiting = Renewal.put(epoch, null, home.keys().signingKey(), key, now);
          PutEncryptionKeyRequest request = PutEncryptionKeyRequest.newBuilder().setOpening(awaiting.opening()).build();
          PutEncryptionKeyResponse answer =
              Calls.timed(MembershipServiceGrpc.newBlockingStub(channel)).putEncryptionKey(request);
          long heard = System.currentTimeMillis();
          return awaiting.receive(answer, home.keyStatement(), home.verifier(heard), heard);
        });
  }

  private GetDirectoryResponse refreshed(Home home) {
    GetDirectoryResponse directory = directory();
    TrustedBundle bundle = followed(home.bundle(), directory);
    boolean onward = home.learn(bundle, directory.getRevocationList(), directory.getCertificateRevocationListsList());
    Refusal.require(onward, "REVOCATION_LIST_STALE", "the cloud gave an older revocation list than the one at hand");
    return directory;
  }

  private GetDirectoryResponse directory() {
    GetDirectoryRequest request = GetDirectoryRequest.getDefaultInstance();
    return Rules.check(
        Calls.repeated(() -> Calls.timed(DirectoryServiceGrpc.newBlockingStub(channel)).getDirectory(request)));
  }

  /** The newest bundle: each between is taken, one after the other, and none is passed over. */
  private TrustedBundle followed(TrustedBundle bundle, GetDirectoryResponse directory) {
    long newest = TrustedBundle.sequenceOf(directory.getTrustBundle());
    TrustedBundle current = bundle;
    while (current.sequence() < newest) {
      GetTrustBundlesRequest request =
          GetTrustBundlesRequest.newBuilder().setAfterSequence(current.sequence()).build();
      List<SignedStatement> between =
          Calls.repeated(() -> Calls.timed(DirectoryServiceGrpc.newBlockingStub(channel)).getTrustBundles(request))
              .getTrustBundlesList();
      Refusal.require(!between.isEmpty(), "BUNDLE_OUT_OF_SEQUENCE", "the cloud leaves trust bundles out");
      for (SignedStatement next : between) {
        current = current.follow(next);
      }
    }
    return current;
  }
}
