package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import example.medunion.client.keys.KeyFile;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.BundleLease;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.Lists;
import example.medunion.client.protocol.Party;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.Transcript;
import example.medunion.client.protocol.TrustedBundle;
import example.medunion.client.protocol.VerifiedParty;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SignedStatement;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Base64;
import java.util.List;

/**
 * A party's home directory: `keys.sealed` under the PIN, `state.json` with what is not secret (identity, credential, newest trust bundle and
 * lists), and of a patient `device.secret`, 32 random bytes behind B_P.
 */
public final class Home {
  private static final long EPOCH = Duration.ofDays(7).toMillis();

  private final Path directory;
  private final State state;
  private final TrustedBundle bundle;
  private KeyFile keys;

  /** What is kept in the clear, byte strings in base64. */
  private static final class State {
    String identity;
    String bundle;
    long bundleConfirmedAt;
    String encryptionKeyStatement;
    String keyStatement;
    String certificate;
    String revocationList;
    List<String> crls;
  }

  private Home(Path directory, State state, KeyFile keys) {
    this.directory = directory;
    this.state = state;
    this.keys = keys;
    this.bundle = TrustedBundle.pin(statement(state.bundle));
  }

  /** Makes a home: fresh keys, and the trust bundle that was handed over. */
  public static Home create(Path directory, String identity, Path trust, Path pinFile, Entropy entropy, long now) {
    TrustedBundle bundle = readTrust(trust);
    try {
      Files.createDirectory(directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    KeyFile keys = KeyFile.create(directory.resolve("keys.sealed"), pinFile, entropy);
    PrivateFiles.writeNew(directory.resolve("device.secret"), entropy.draw(32));
    Hpke.DecryptionKey key = keys.decryptionKey();
    EncryptionKeyStatement epoch =
        EncryptionKeyStatement.newBuilder()
            .setIdentity(identity)
            .setVerifyingKeyDigest(ByteString.copyFrom(Bytes.sha256(keys.signingKey().publicKey())))
            .setKeyId(ByteString.copyFrom(key.keyId()))
            .setKem(Hpke.KEM_ID)
            .setEncryptionKey(ByteString.copyFrom(key.encryptionKey()))
            .setNotBefore(now)
            .setNotAfter(now + EPOCH)
            .build();
    State state = new State();
    state.identity = identity;
    state.bundle = base64(bundle.signed());
    state.bundleConfirmedAt = bundle.content().getIssuedAt();
    state.encryptionKeyStatement = base64(Statements.sign("ek", epoch, keys.signingKey()));
    Home home = new Home(directory, state, keys);
    home.write();
    return home;
  }

  public static Home open(Path directory, Path pinFile) {
    try {
      State state = new Gson().fromJson(Files.readString(directory.resolve("state.json")), State.class);
      return new Home(directory, state, KeyFile.open(directory.resolve("keys.sealed"), pinFile));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  public String identity() {
    return state.identity;
  }

  public TrustedBundle bundle() {
    return bundle;
  }

  public KeyFile keys() {
    return keys;
  }

  public SignedStatement encryptionKeyStatement() {
    return statement(state.encryptionKeyStatement);
  }

  /** B_P (32 bytes) of the fuzzy key that a reading gave: HKDF(fuzzy key || device secret, info = T("bp-derive", realm, 1)). */
  public byte[] biometricPassword(Path sensor) {
    byte[] fuzzyKey = PrivateFiles.read(sensor);
    require(fuzzyKey.length == 32, "BIOMETRIC_MISMATCH", "a fuzzy key has 32 bytes");
    byte[] info = Transcript.of("bp-derive").add(bundle.content().getRealm()).add(1).bytes();
    return Bytes.hkdf(Bytes.concat(fuzzyKey, PrivateFiles.read(directory.resolve("device.secret"))), info, 32);
  }

  /** Keeps the credential that registration gave: S_X among the keys, the rest in the state. */
  void install(SignedStatement keyStatement, byte[] secret, byte[] certificate, Entropy entropy) {
    keys = keys.withRegistrationSecret(secret, entropy);
    state.keyStatement = base64(keyStatement);
    state.certificate = Base64.getEncoder().encodeToString(certificate);
    write();
  }

  /** Keeps a newer bundle, and the lists that came with it. Gives this home as it then is. */
  Home learned(BundleLease lease, SignedStatement list, List<ByteString> crls) {
    state.bundle = base64(lease.bundle().signed());
    state.bundleConfirmedAt = lease.confirmedAt();
    state.revocationList = base64(list);
    state.crls = crls.stream().map(crl -> Base64.getEncoder().encodeToString(crl.toByteArray())).toList();
    write();
    return new Home(directory, state, keys);
  }

  BundleLease lease() {
    return new BundleLease(bundle, state.bundleConfirmedAt);
  }

  /** The lists as last received, or null. */
  Lists lists() {
    if (state.revocationList == null) {
      return null;
    }
    List<ByteString> crls = state.crls.stream().map(crl -> ByteString.copyFrom(Base64.getDecoder().decode(crl))).toList();
    return Lists.read(bundle, statement(state.revocationList), crls);
  }

  public Verifier verifier(long now) {
    Lists lists = lists();
    require(lists != null, "REVOCATION_LIST_STALE", "no revocation list is at hand");
    return new Verifier(lease().usable(now), lists);
  }

  /** The party to act as, its own CRED checked: one that was revoked stops acting. */
  public Party party(long now) {
    require(state.keyStatement != null, "NOT_REGISTERED", state.identity + " is not registered yet");
    byte[] certificate = Base64.getDecoder().decode(state.certificate);
    Verifier verifier = verifier(now);
    SignedStatement statement = statement(state.keyStatement);
    boolean doctor = state.identity.startsWith("D:");
    VerifiedParty self =
        doctor ? verifier.doctor(statement, certificate, now) : verifier.party(statement, Role.ROLE_PATIENT, now);
    verifier.encryptionKey(encryptionKeyStatement(), self, now);
    return new Party(
        self,
        keys.signingKey(),
        keys.registrationSecret(self.publicPoint()),
        keys.decryptionKey(),
        encryptionKeyStatement(),
        certificate);
  }

  private void write() {
    PrivateFiles.replace(directory.resolve("state.json"), new Gson().toJson(state).getBytes(StandardCharsets.UTF_8));
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

  private static String base64(SignedStatement statement) {
    return Base64.getEncoder().encodeToString(statement.toByteArray());
  }

  private static SignedStatement statement(String encoded) {
    try {
      return SignedStatement.parseFrom(Base64.getDecoder().decode(encoded));
    } catch (InvalidProtocolBufferException error) {
      throw new Refusal("MALFORMED_MESSAGE", "the home directory's state is damaged", error);
    }
  }
}
