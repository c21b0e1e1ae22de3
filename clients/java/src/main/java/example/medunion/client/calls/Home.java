package example.medunion.client.calls;

import static example.medunion.client.calls.HomeState.base64;
import static example.medunion.client.calls.HomeState.statement;
import static example.medunion.client.protocol.Refusal.require;

import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import example.medunion.client.keys.KeyFile;
import example.medunion.client.keys.Keys;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.keys.TokenKeys;
import example.medunion.client.protocol.AccessLog;
import example.medunion.client.protocol.BundleLease;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Grace;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.Lists;
import example.medunion.client.protocol.Party;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Renewal;
import example.medunion.client.protocol.ReplayMemory;
import example.medunion.client.protocol.Rules;
import example.medunion.client.protocol.Shards;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.Transcript;
import example.medunion.client.protocol.ToldLog;
import example.medunion.client.protocol.TrustedBundle;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.KeyStatement;
import example.medunion.federation.v1.MedicalAuthority;
import example.medunion.federation.v1.ProvedHead;
import example.medunion.federation.v1.RevocationExcerpt;
import example.medunion.federation.v1.RevocationHead;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SignedStatement;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A party's home directory: `keys.sealed` under the PIN, or `token.json`, which says in which token the keys are; `state.json`
 * with what is not secret (identity, credential, epochs, newest trust bundle and lists), `registration.sealed` while one is
 * under way, of a doctor `replay.json`, the replay keys of what was taken, and of a patient `device.secret`, 32 random bytes
 * behind B_P. Several processes may use it: what one changes, the others leave.
 */
public final class Home implements AutoCloseable {
  /** For how long after the end of the newest list a client goes on by what stood before it, unless more or less is said. */
  public static final Duration USUAL_GRACE = Duration.ofHours(1);

  private static final String REGISTRATION = "registration.sealed";
  private static final String KEYS = "keys.sealed";
  private static final String TOKEN = "token.json";

  private final Path directory;
  private final CurrentShards shards;
  private final ShardLine line;
  private HomeState state;
  private TrustedBundle bundle;
  private Keys keys;
  private Networks networks = Networks.ANY;
  private Duration grace = USUAL_GRACE;

  private Home(Path directory, HomeState state, Keys keys) {
    this.directory = directory;
    this.shards = new CurrentShards(this::root, this::learn, this::askCloud);
    this.line = new ShardLine(this::bundle, () -> new Cloud(this));
    this.state = state;
    this.keys = keys;
    this.bundle = TrustedBundle.pin(statement(state.bundle));
  }

  /**
   * Makes a home: fresh keys, and the trust bundle that was handed over. It is there whole, or not at all. `token` is the URI
   * of the token that is to hold the keys, null for a file.
   */
  public static Home create(
      Path directory, String identity, Path trust, Path pinFile, String token, Entropy entropy, long now) {
    TrustedBundle bundle = readTrust(trust);
    PrivateFiles.makeDirectory(
        directory,
        unfinished -> {
          Keys keys =
              token == null
                  ? KeyFile.create(unfinished.resolve(KEYS), pinFile, entropy)
                  : TokenKeys.create(unfinished.resolve(TOKEN), token, pinFile, entropy);
          fill(unfinished, bundle, identity, keys, entropy, now);
        });
    return open(directory, pinFile);
  }

  private static void fill(
      Path directory, TrustedBundle bundle, String identity, Keys keys, Entropy entropy, long now) {
    PrivateFiles.writeNew(directory.resolve("device.secret"), entropy.draw(32));
    HomeState state = new HomeState();
    state.identity = identity;
    state.bundle = base64(bundle.signed());
    state.bundleConfirmedAt = bundle.content().getIssuedAt();
    Hpke.DecryptionKey first = keys.decryptionKeys().get(0);
    state.encryptionKeyStatement = base64(Renewal.state(identity, first, keys.signingKey(), now, Epochs.LIFE));
    state.write(directory);
  }

  public static boolean exists(Path directory) {
    return HomeState.exists(directory);
  }

  public static Home open(Path directory, Path pinFile) {
    Path token = directory.resolve(TOKEN);
    Keys keys = Files.exists(token) ? TokenKeys.open(token, pinFile) : KeyFile.open(directory.resolve(KEYS), pinFile);
    return new Home(directory, HomeState.read(directory), keys);
  }

  /** Keeps to these networks from now on, whatever address a peer names. */
  public Home within(Networks networks) {
    this.networks = networks;
    return this;
  }

  /** Goes on for so long by a list that is over, from now on. */
  public Home goingOnFor(Duration grace) {
    this.grace = grace;
    return this;
  }

  /** A channel to `host:port` that answers to that identity. */
  ManagedChannel channel(String address, String identity) {
    return Calls.channel(address, identity, bundle, networks);
  }

  /** The same to a hospital, which is asked from now on for what is looked up where the cloud does not answer. */
  ManagedChannel hospitalChannel(String address, String hospitalId) {
    ManagedChannel channel = channel(address, hospitalId);
    shards.dealWith(hospitalId, prefix -> HospitalSession.shard(channel, prefix, heldCrls()));
    return channel;
  }

  public String identity() {
    return state.identity;
  }

  public TrustedBundle bundle() {
    return bundle;
  }

  public Keys keys() {
    return keys;
  }

  /** The EK_X that is announced. */
  public SignedStatement encryptionKeyStatement() {
    return statement(state.encryptionKeyStatement);
  }

  /** KS_X. */
  public SignedStatement keyStatement() {
    require(state.keyStatement != null, "NOT_REGISTERED", state.identity + " is not registered yet");
    return statement(state.keyStatement);
  }

  /** The key of the EK_X that is announced. */
  public Hpke.DecryptionKey decryptionKey() {
    ByteString announced = Epochs.read(state.encryptionKeyStatement).getKeyId();
    return keys.decryptionKeys().stream()
        .filter(key -> Bytes.equal(announced, key.keyId()))
        .findFirst()
        .orElseThrow(() -> new Refusal("CREDENTIAL_EXPIRED", "the epoch of the encryption key is over"));
  }

  /** B_P (32 bytes) of the fuzzy key that a reading gave: HKDF(fuzzy key || device secret, info = T("bp-derive", realm, 1)). */
  public byte[] biometricPassword(Path sensor) {
    byte[] fuzzyKey = PrivateFiles.read(sensor);
    require(fuzzyKey.length == 32, "BIOMETRIC_MISMATCH", "a fuzzy key has 32 bytes");
    byte[] info = Transcript.of("bp-derive").add(bundle.content().getRealm()).add(1).bytes();
    return Bytes.hkdf(Bytes.concat(fuzzyKey, PrivateFiles.read(directory.resolve("device.secret"))), info, 32);
  }

  public boolean isRegistered() {
    return state.keyStatement != null;
  }

  /** Keeps the credential that registration gave: S_X among the keys, the rest in the state. */
  void install(VerifiedParty self, byte[] secret, byte[] certificate, Entropy entropy) {
    update(
        () -> {
          keys = keys.withRegistrationSecret(secret, self, entropy);
          state.keyStatement = base64(self.keyStatement());
          state.certificate = Base64.getEncoder().encodeToString(certificate);
        });
    forgetRegistration();
  }

  /** A reg1 that was sent and whose answer is not here, as it was kept. */
  Optional<byte[]> registration() {
    Path path = directory.resolve(REGISTRATION);
    return Files.exists(path) ? Optional.of(keys.unseal(PrivateFiles.read(path))) : Optional.empty();
  }

  /** Keeps a reg1 that is to be sent, sealed: the ticket is inside. */
  void keepRegistration(byte[] kept, Entropy entropy) {
    PrivateFiles.replace(directory.resolve(REGISTRATION), keys.seal(kept, entropy));
  }

  void forgetRegistration() {
    PrivateFiles.delete(directory.resolve(REGISTRATION));
  }

  /** Keeps the replay key of a message, and says whether it was new. It holds for all rooms: they share EK_D. */
  boolean admit(byte[] replayKey, long now, long until) {
    AtomicBoolean inserted = new AtomicBoolean();
    HomeLock.holding(
        directory,
        () -> {
          ReplayMemory memory = ReplayFile.read(directory);
          inserted.set(memory.insert(replayKey, now, until));
          ReplayFile.write(directory, memory);
        });
    return inserted.get();
  }

  /** Until when the EK_X that is announced is good. */
  public long epochEnd() {
    return Epochs.read(state.encryptionKeyStatement).getNotAfter();
  }

  /** Whether the next epoch should begin. */
  public boolean isEpochDue(long now) {
    return Epochs.isDue(state.encryptionKeyStatement, now);
  }

  /** Whether the PRK_C behind KS_X can't be relied on any more: then one signed anew is needed at once. */
  public boolean isRestatementDue() {
    return isRegistered() && bundle.isCloudKeyFallenAt(statedAt(state));
  }

  /**
   * Makes the EK_X of the next epoch, or gives the one that was made and never acknowledged. Its key is kept before anybody
   * hears of it; what is announced stays what it was.
   */
  SignedStatement nextEpoch(long now, Entropy entropy) {
    update(
        () -> {
          if (!Epochs.hasNext(state, now)) {
            // The key first: a crash leaves one that no statement names, which the next sweep destroys.
            keys = keys.withNextEpoch(entropy);
            List<Hpke.DecryptionKey> all = keys.decryptionKeys();
            Hpke.DecryptionKey newest = all.get(all.size() - 1);
            Epochs.prepare(state, Renewal.state(state.identity, newest, keys.signingKey(), now, Epochs.LIFE));
          }
        });
    return statement(state.nextEncryptionKeyStatement);
  }

  /** Announces the next epoch: the cloud has it. */
  void announce(SignedStatement next) {
    update(() -> Epochs.announce(state, next));
  }

  /** Begins an epoch that nobody has to be told of: this party's registration will. */
  public void beginEpoch(long now, Entropy entropy) {
    announce(nextEpoch(now, entropy));
  }

  /** Keeps the own KS_X as the cloud has signed it anew, unless one that was stated later is here. */
  void restate(SignedStatement signed) {
    long statedAt = Statements.peek(KeyStatement.getDefaultInstance(), signed).getStatedAt();
    update(() -> state.keyStatement = statedAt > statedAt(state) ? base64(signed) : state.keyStatement);
  }

  /** Keeps a consent before anybody has it: who gave it can take it back. */
  void keepGrant(SignedStatement grant) {
    update(() -> state.grants.add(base64(grant)));
  }

  /** The consents that were given from here, in the order of giving. */
  public List<SignedStatement> grants() {
    return HomeState.read(directory).grants.stream().map(HomeState::statement).toList();
  }

  /** Of which size the head is that a page of a party's log is to follow: the one remembered, 0 for none; or that of the pages before. */
  long knownSize(String partyId, Optional<ToldLog> before) {
    return before.map(it -> it.head().tree().size()).orElseGet(() -> knownNote(partyId).map(AccessLog::sizeOf).orElse(0L));
  }

  /**
   * Checks what a log told of a patient, and remembers its head; a further page is put to those before. Where a head does not follow the one
   * remembered, or is not that of the page before, both are kept as evidence. Refuses as ToldLog.
   */
  ToldLog checked(
      ToldLog.Page page, String patientId, String partyId, byte[] key, Optional<ToldLog> before, Verifier verifier) {
    Optional<byte[]> known = before.map(ToldLog::note).or(() -> knownNote(partyId));
    ToldLog.Author author = new ToldLog.Author(bundle.content().getRealm(), partyId, key);
    try {
      if (before.isPresent()) {
        return ToldLog.requireFurther(page, patientId, author, before.get());
      }
      ToldLog told = ToldLog.require(page, patientId, author, known);
      update(() -> state.knownLogs.put(partyId, base64(told.note())));
      return told.witnessed(page.head().orElseThrow(), verifier, System.currentTimeMillis());
    } catch (Refusal refusal) {
      if (known.isPresent() && page.head().isPresent() && ToldLog.isFork(refusal)) {
        byte[] shown = page.head().get().getNote().toByteArray();
        update(() -> state.logForks.add(List.of(base64(known.get()), base64(shown))));
      }
      throw refusal;
    }
  }

  private Optional<byte[]> knownNote(String partyId) {
    return Optional.ofNullable(HomeState.read(directory).knownLogs.get(partyId)).map(Base64.getDecoder()::decode);
  }

  /** Destroys the keys of epochs that ended 5 minutes ago or more. */
  public void sweep(long now, Entropy entropy) {
    update(
        () -> {
          Set<ByteString> open = Epochs.sweep(state, now);
          keys = keys.keepingEpochs(key -> open.contains(ByteString.copyFrom(key.keyId())), entropy);
        });
  }

  /**
   * Takes a head that is not older than the one at hand, by this bundle or one that follows it, and the CRLs that came with it beside those
   * at hand: of each authority the newest that counts. Says whether it did.
   */
  boolean learn(TrustedBundle newest, SignedStatement head, List<ByteString> came) {
    Lists lists = Lists.read(newest, head, came, shards);
    Lists kept = lists();
    if (kept != null && lists.head().getSequence() < kept.head().getSequence()) {
      return false;
    }
    List<MedicalAuthority> authorities = newest.content().getMedicalAuthoritiesList();
    List<ByteString> crls = lists.crlsBeside(kept == null ? lists : kept, authorities);
    BundleLease lease = newest == bundle ? lease() : BundleLease.of(newest);
    BundleLease heard = lease.heard(lists.head());
    HomeLock.holding(
        directory,
        () -> {
          // Beside these, what is at hand stays: a key of which another process has told the state may not be.
          HomeState current = HomeState.read(directory);
          if (current.isOlderThan(newest, lists)) {
            current.learn(heard, head, crls);
            current.write(directory);
          }
        });
    state.learn(heard, head, crls);
    bundle = newest;
    return true;
  }

  /**
   * Takes shards, and the head that proves them where it is newer than the one at hand, with the CRLs that came. None of an older one, unless of
   * the same root.
   */
  void learn(RevocationExcerpt excerpt) {
    Rules.checkOuter(excerpt);
    RevocationHead handed = Lists.read(bundle, excerpt.getHead(), List.of(), Shards.NONE).head();
    Shards proven = Shards.read(excerpt, handed.getRoot());
    Lists kept = lists();
    boolean newer = kept == null || handed.getSequence() > kept.head().getSequence();
    boolean same = newer || handed.getRoot().equals(kept.head().getRoot());
    // shards.2
    require(same, "REVOCATION_HEAD_OLDER", "these shards are of an older head than the one at hand");
    List<ByteString> came = excerpt.getCertificateRevocationListsList();
    if (newer || !came.isEmpty()) {
      learn(bundle, excerpt.getHead(), came);
    }
    shards.add(proven);
  }

  /** Takes what a peer shows of the list. What is wrong with it, or older, does not count: then it is asked for. */
  void hear(RevocationExcerpt excerpt) {
    try {
      learn(excerpt);
    } catch (Refusal refusal) {
      // A hospital is behind the cloud now and then.
    }
  }

  /** Takes a newer head of the same set; of another set its shards could not be asked for, and nobody would be verified. */
  void hearHead(SignedStatement signed) {
    RevocationHead head = Statements.peek(RevocationHead.getDefaultInstance(), signed);
    Lists kept = lists();
    if (kept != null
        && head.getRoot().equals(kept.head().getRoot())
        && head.getSequence() > kept.head().getSequence()) {
      hear(RevocationExcerpt.newBuilder().setHead(signed).build());
    }
  }

  /** Whether the list at hand is not over. */
  boolean holdsCurrentList(long now) {
    Lists kept = lists();
    return kept != null && now < kept.head().getNextUpdate();
  }

  /** Whom to ask for the shards that are looked up in. */
  CurrentShards shards() {
    return shards;
  }

  /** Asks the cloud by this home's own connection, for one shard. */
  RevocationExcerpt askCloud(int prefix) {
    return line.shard(prefix, heldCrls());
  }

  /** The digests of the CRLs at hand: those that are not to be sent again. */
  List<ByteString> heldCrls() {
    return crls().stream().map(crl -> ByteString.copyFrom(Bytes.sha256(crl.toByteArray()))).toList();
  }

  /** Hangs up. */
  @Override
  public void close() {
    line.close();
  }

  /** The root of the head at hand; nothing without one. */
  private ByteString root() {
    return state.revocationHead == null
        ? ByteString.EMPTY
        : Statements.peek(RevocationHead.getDefaultInstance(), statement(state.revocationHead)).getRoot();
  }

  /** The authorities' CRLs at hand, DER. */
  List<ByteString> crls() {
    return state.crls == null
        ? List.of()
        : state.crls.stream().map(crl -> ByteString.copyFrom(Base64.getDecoder().decode(crl))).toList();
  }

  private BundleLease lease() {
    return new BundleLease(bundle, state.bundleConfirmedAt);
  }

  /** The lists as last received, or null. */
  private Lists lists() {
    if (state.revocationHead == null) {
      return null;
    }
    return Lists.read(bundle, statement(state.revocationHead), crls(), shards);
  }

  public Verifier verifier(long now) {
    Lists lists = lists();
    require(lists != null, "REVOCATION_LIST_STALE", "no revocation list is at hand");
    return new Verifier(lease().usable(now), lists, new Grace(grace.toMillis(), usedLate(lists)));
  }

  /** When this list was used last though it was over. Another begins anew: a clock that once ran ahead bars no grace for ever. */
  private long usedLate(Lists lists) {
    HomeState.LateList late = state.lateList;
    return late != null && late.sequence() == lists.head().getSequence() ? late.usedAt() : 0;
  }

  /** Takes note that it is now, where the list at hand is over, so that a clock that is set back stretches no grace. */
  void noteLate(Lists lists, long now) {
    if (Grace.NONE.isLate(lists.head(), now) && now > usedLate(lists)) {
      update(() -> state.lateList = new HomeState.LateList(lists.head().getSequence(), now));
    }
  }

  /** The party to act as, its own CRED checked: one that was revoked stops acting. */
  public Party party(long now) {
    SignedStatement statement = keyStatement();
    byte[] certificate = Base64.getDecoder().decode(state.certificate);
    Verifier verifier = verifier(now);
    noteLate(verifier.lists(), now);
    boolean doctor = state.identity.startsWith("D:");
    VerifiedParty self =
        doctor ? verifier.doctor(statement, certificate, now) : verifier.party(statement, Role.ROLE_PATIENT, now);
    verifier.encryptionKey(encryptionKeyStatement(), self, now);
    return new Party(
        self,
        keys.signingKey(),
        keys.registrationSecret(self),
        decryptionKey(),
        keys.decryptionKeys(),
        encryptionKeyStatement(),
        certificate);
  }

  /** Changes what is kept, after taking up what other processes of this party have kept meanwhile. */
  private void update(Runnable change) {
    HomeLock.holding(
        directory,
        () -> {
          state = HomeState.read(directory);
          bundle = TrustedBundle.pin(statement(state.bundle));
          keys = keys.reread();
          change.run();
          state.write(directory);
        });
  }

  private static long statedAt(HomeState state) {
    return Statements.peek(KeyStatement.getDefaultInstance(), statement(state.keyStatement)).getStatedAt();
  }

  /** Reads a trust bundle that was handed over as a file. */
  private static TrustedBundle readTrust(Path path) {
    try {
      JsonObject document = JsonParser.parseString(Files.readString(path)).getAsJsonObject();
      SignedStatement signed =
          SignedStatement.newBuilder()
              .setStatement(ByteString.copyFrom(decoded(document, "statement")))
              .setSignature(ByteString.copyFrom(decoded(document, "signature")))
              .build();
      return TrustedBundle.pin(signed);
    } catch (JsonParseException | IllegalStateException | IllegalArgumentException error) {
      throw new Refusal("BUNDLE_INVALID", path + " is no trust bundle", error);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static byte[] decoded(JsonObject document, String name) {
    require(document.has(name), "BUNDLE_INVALID", "the trust bundle lacks its " + name);
    return Base64.getDecoder().decode(document.get(name).getAsString());
  }
}
