package example.medunion.client.calls;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.EncryptionKey;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Renewal;
import example.medunion.client.protocol.Revoking;
import example.medunion.client.protocol.Rules;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.ShownAccess;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.ToldLog;
import example.medunion.client.protocol.TrustedBundle;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.DirectoryServiceGrpc;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.GetDirectoryRequest;
import example.medunion.federation.v1.GetDirectoryResponse;
import example.medunion.federation.v1.GetRevocationShardsRequest;
import example.medunion.federation.v1.GetTrustBundlesRequest;
import example.medunion.federation.v1.GetTrustBundlesResponse;
import example.medunion.federation.v1.MembershipServiceGrpc;
import example.medunion.federation.v1.PutEncryptionKeyRequest;
import example.medunion.federation.v1.PutEncryptionKeyResponse;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.RevocationServiceGrpc;
import example.medunion.federation.v1.RevokeRequest;
import example.medunion.federation.v1.RevokeResponse;
import example.medunion.federation.v1.SealedReply;
import example.medunion.federation.v1.SearchRequest;
import example.medunion.federation.v1.SearchServiceGrpc;
import example.medunion.federation.v1.SignedStatement;
import io.grpc.ManagedChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongSupplier;

/** The calling side towards the public cloud, for patients and doctors alike. */
public final class Cloud implements AutoCloseable {
  static final int MOST_PAGES = 128;

  private final ManagedChannel channel;
  private final LongSupplier clock;
  private final Calls.Patience usual;
  private final Calls.Patience brief;
  private Runnable forget = () -> {};

  /** The public cloud of a home's federation. */
  public Cloud(Home home) {
    this(
        home.channel(home.bundle().content().getCloudAddress(), home.bundle().content().getCloudId()),
        System::currentTimeMillis,
        Calls.Patience.USUAL,
        Calls.Patience.ONCE);
  }

  Cloud(ManagedChannel channel, LongSupplier clock, Calls.Patience usual, Calls.Patience brief) {
    this.channel = channel;
    this.clock = clock;
    this.usual = usual;
    this.brief = brief;
  }

  /** Brings a home's trust bundle and lists up to date. Neither goes back. Asked once, and briefly: somebody waits who has lists at hand. */
  public void refresh(Home home) {
    refreshed(home, brief);
  }

  /**
   * Registers, by B_P of a patient or Cert_D of a doctor as evidence and a patient's ticket, and keeps what came. Gives the credential's
   * serial. What was cut short goes on when this is called again.
   */
  public byte[] register(Home home, byte[] evidence, byte[] ticket, Entropy entropy) {
    // By the bundle of now: the answer is signed by keys that the one at hand may not name yet.
    return new Registering(home, channel, refreshed(home), clock, usual, entropy).register(evidence, ticket);
  }

  /** Begins the next epoch of the encryption key: kept first, sent then (ekput), announced once its receipt is here (ekack). */
  public EncryptionKeyStatement renew(Home home, Entropy entropy) {
    Refusal.require(home.isRegistered(), "NOT_REGISTERED", home.identity() + " is not registered yet");
    GetDirectoryResponse directory = refreshed(home);
    SignedStatement next = home.nextEpoch(clock.getAsLong(), entropy);
    put(home, next, directory);
    home.announce(next);
    return Statements.peek(EncryptionKeyStatement.getDefaultInstance(), next);
  }

  /** Puts the EK_X that is announced once more, for the KS_X that comes beside the receipt: a rotated PRK_C signs it anew. */
  public void restate(Home home) {
    put(home, home.encryptionKeyStatement(), refreshed(home));
  }

  /** Takes back what was signed in a patient's name (rev): the cloud's next list names it. */
  public void revoke(Home home, Revoking.TakenBack taken, Entropy entropy) {
    SignedStatement statement = refreshed(home).getCloudEncryptionKeyStatement();
    // Made anew each time: the cloud takes no rev twice.
    Calls.repeated(
        channel,
        () -> {
          long now = clock.getAsLong();
          EncryptionKey key = home.verifier(now).cloudEncryptionKey(statement, now);
          Revoking.AwaitingList awaiting = Revoking.revoke(taken, home.party(now), key, now, entropy);
          RevokeRequest request = RevokeRequest.newBuilder().setOpening(awaiting.opening()).build();
          RevokeResponse answer = Calls.timed(RevocationServiceGrpc.newBlockingStub(channel)).revoke(request);
          awaiting.receive(answer, home.bundle());
          return answer;
        });
  }

  /** Asks where a patient's records are of one class, or of "*": D2 and C, every page, but not without end. */
  public List<Search.RecordLocation> search(
      Home home, String departmentClass, ShownAccess shown, Entropy entropy, Consumer<String> tell) {
    List<Search.RecordLocation> locations = new ArrayList<>();
    Search.Question question = Search.Question.records(departmentClass);
    ask(home, question, () -> 0, shown, entropy, tell, answer -> locations.addAll(answer.locations()));
    return locations;
  }

  /** Asks who asked for a patient's records, by what is shown: every page, each checked, below the head of the first. */
  public ToldLog log(Home home, ShownAccess shown, Entropy entropy, Consumer<String> tell) {
    AtomicReference<ToldLog> told = new AtomicReference<>();
    String cloudId = home.bundle().content().getCloudId();
    Consumer<Search.Answer> take =
        answer -> {
          Verifier verifier = home.verifier(clock.getAsLong());
          ToldLog.Page page = new ToldLog.Page(answer.accesses(), answer.logHead(), OptionalLong.empty());
          Optional<ToldLog> before = Optional.ofNullable(told.get());
          told.set(home.checked(page, shown.patientId(), cloudId, answer.cloudKey(), before, verifier));
        };
    LongSupplier knownSize = () -> home.knownSize(cloudId, Optional.ofNullable(told.get()));
    ask(home, Search.Question.log(), knownSize, shown, entropy, tell, take);
    return told.get();
  }

  private void ask(
      Home home,
      Search.Question first,
      LongSupplier knownSize,
      ShownAccess shown,
      Entropy entropy,
      Consumer<String> tell,
      Consumer<Search.Answer> take) {
    SignedStatement statement = refreshed(home).getCloudEncryptionKeyStatement();
    boolean isCut =
        isCut(
            first,
            question -> {
              long now = clock.getAsLong();
              EncryptionKey key = home.verifier(now).cloudEncryptionKey(statement, now);
              Search.Question asked = question.from(knownSize.getAsLong());
              Search.AwaitingAnswer awaiting = Search.ask(home.party(now), asked, shown, key, now, entropy);
              SearchRequest request = SearchRequest.newBuilder().setOpening(awaiting.opening()).build();
              SealedReply reply =
                  Calls.call(() -> Calls.timed(SearchServiceGrpc.newBlockingStub(channel)).search(request)).getReply();
              long heard = clock.getAsLong();
              return awaiting.receive(reply, home.verifier(heard), heard);
            },
            take);
    if (isCut) {
      tell.accept("The public cloud knows of more than is asked for: SOME ARE MISSING.");
    }
  }

  /** Asks for one page after the other, each behind the one before; says whether there are more than are read. */
  static boolean isCut(
      Search.Question first, Function<Search.Question, Search.Answer> ask, Consumer<Search.Answer> take) {
    Search.Question question = first;
    for (int page = 0; page < MOST_PAGES; page++) {
      Search.Answer answer = ask.apply(question);
      take.accept(answer);
      if (answer.next().isEmpty()) {
        return false;
      }
      question = question.after(answer);
    }
    return true;
  }

  /** Fetches the shard of this prefix, and the CRLs but those; nothing of it is verified yet. Asked once, and briefly. */
  RevocationExcerpt shard(int prefix, List<ByteString> heldCrls) {
    GetRevocationShardsRequest request =
        GetRevocationShardsRequest.newBuilder().addPrefixes(prefix).addAllHeldCrls(heldCrls).build();
    return Rules.checkOuter(Calls.repeated(channel, brief, () -> directory(brief).getRevocationShards(request)))
        .getRevocations();
  }

  @Override
  public void close() {
    forget.run();
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
    long begun = clock.getAsLong();
    EncryptionKey key =
        home.verifier(begun).cloudEncryptionKey(directory.getCloudEncryptionKeyStatement(), begun);
    // Made anew each time: the cloud takes no ekput twice.
    return Calls.repeated(
        channel,
        () -> {
          long now = clock.getAsLong();
          Renewal.AwaitingReceipt awaiting = Renewal.put(epoch, null, home.keys().signingKey(), key, now);
          PutEncryptionKeyRequest request = PutEncryptionKeyRequest.newBuilder().setOpening(awaiting.opening()).build();
          PutEncryptionKeyResponse answer =
              Calls.timed(MembershipServiceGrpc.newBlockingStub(channel)).putEncryptionKey(request);
          long heard = clock.getAsLong();
          return awaiting.receive(answer, home.keyStatement(), home.verifier(heard), heard);
        });
  }

  private GetDirectoryResponse refreshed(Home home) {
    return refreshed(home, usual);
  }

  private GetDirectoryResponse refreshed(Home home, Calls.Patience patience) {
    home.shards().askCloud(prefix -> shard(prefix, home.heldCrls()));
    forget = () -> home.shards().askCloud(home::askCloud);
    GetDirectoryRequest request = GetDirectoryRequest.newBuilder().addAllHeldCrls(home.heldCrls()).build();
    GetDirectoryResponse directory =
        Rules.checkOuter(Calls.repeated(channel, patience, () -> directory(patience).getDirectory(request)));
    TrustedBundle bundle = followed(home.bundle(), directory, patience);
    // Of two lists the newer stays: an older one, of a cloud that was restored or is slow to tell, is no reason to stop.
    home.learn(bundle, directory.getRevocationHead(), directory.getCertificateRevocationListsList());
    return directory;
  }

  /**
   * The newest bundle: each between is taken, one after the other, and none is passed over. There is one of each number: who signs two shows
   * somebody a federation of its own.
   */
  private TrustedBundle followed(TrustedBundle bundle, GetDirectoryResponse directory, Calls.Patience patience) {
    SignedStatement told = directory.getTrustBundle();
    long newest = TrustedBundle.sequenceOf(told);
    boolean one = newest != bundle.sequence() || told.getStatement().equals(bundle.signed().getStatement());
    Refusal.require(one, "BUNDLE_OUT_OF_SEQUENCE", "there are two trust bundles of the number " + newest);
    TrustedBundle current = bundle;
    while (current.sequence() < newest) {
      GetTrustBundlesRequest request =
          GetTrustBundlesRequest.newBuilder().setAfterSequence(current.sequence()).build();
      GetTrustBundlesResponse between =
          Rules.checkOuter(Calls.repeated(channel, patience, () -> directory(patience).getTrustBundles(request)));
      Refusal.require(between.getTrustBundlesCount() > 0, "BUNDLE_OUT_OF_SEQUENCE", "the cloud leaves trust bundles out");
      for (SignedStatement next : between.getTrustBundlesList()) {
        current = current.follow(next);
      }
    }
    return current;
  }

  private DirectoryServiceGrpc.DirectoryServiceBlockingStub directory(Calls.Patience patience) {
    return patience.timed(DirectoryServiceGrpc.newBlockingStub(channel));
  }
}
