package example.medunion.client.keys;

import com.google.gson.Gson;
import com.google.gson.JsonParseException;
import example.medunion.client.protocol.AgreementKey;
import example.medunion.client.protocol.AtRest;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Curve;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.RegistrationSecret;
import example.medunion.client.protocol.SigningKey;
import example.medunion.client.protocol.Transcript;
import example.medunion.client.protocol.VerifiedParty;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Predicate;
import org.bouncycastle.math.ec.ECPoint;

/**
 * Keys in a PKCS#11 token: PRK_X, the P-256 half of each epoch and the sealing key are made there, S_X is imported, and none
 * leaves it. The file beside them says which token, their public halves, and the ML-KEM seeds, each sealed under the sealing
 * key.
 */
public final class TokenKeys implements Keys {
  private static final String IDENTITY = "identity";
  private static final String SEALING = "sealing";
  private static final String EPOCH = "kem-";
  private static final String REGISTRATION_SECRET = "registration-secret-";
  private static final int MLKEM_SEED = 64;

  private final Path path;
  private final Token token;
  private final byte[] content;
  private final Kept kept;
  private final AgreementKey sealing;
  private List<Hpke.DecryptionKey> opened;

  /** The file; byte strings are hex. */
  private record Kept(String uri, String verifyingKey, List<Epoch> epochs) {}

  /** An epoch's key: its label in the token, its public half, uncompressed, and its ML-KEM seed, sealed. */
  private record Epoch(String label, String publicHalf, String sealedSeed) {}

  private TokenKeys(Path path, Token token, byte[] content) {
    this.path = path;
    this.token = token;
    this.content = content;
    this.kept = read(content);
    this.sealing = token.agreement(SEALING);
  }

  /**
   * Makes fresh keys in the token of that URI, of a first epoch too, and a new file. Refuses with KEY_INVALID where there are
   * some already.
   */
  public static TokenKeys create(Path path, String uri, Path pinFile, Entropy entropy) {
    Token token = Token.open(TokenUri.parse(uri), PrivateFiles.readPin(pinFile));
    boolean empty = !token.holds(IDENTITY) && !token.holds(SEALING);
    Refusal.require(empty, "KEY_INVALID", "the token holds a party's keys already");
    ECPoint verifyingKey = token.generateSigning(IDENTITY);
    token.generateAgreement(SEALING);
    byte[] content = written(new Kept(uri, hex(verifyingKey.getEncoded(true)), List.of()));
    PrivateFiles.writeNew(path, content);
    return new TokenKeys(path, token, content).withNextEpoch(entropy);
  }

  /** Opens the keys with the token's PIN, of that file. */
  public static TokenKeys open(Path path, Path pinFile) {
    byte[] content = PrivateFiles.read(path);
    Token token = Token.open(TokenUri.parse(read(content).uri()), PrivateFiles.readPin(pinFile));
    return new TokenKeys(path, token, content);
  }

  @Override
  public TokenKeys reread() {
    byte[] newest = PrivateFiles.read(path);
    return Arrays.equals(content, newest) ? this : new TokenKeys(path, token, newest);
  }

  @Override
  public SigningKey signingKey() {
    return token.signing(IDENTITY, Curve.verifyingKey(bytes(kept.verifyingKey())));
  }

  @Override
  public List<Hpke.DecryptionKey> decryptionKeys() {
    if (opened == null) {
      List<String> labels = token.labels();
      // A key that a crash left without its file's line, or the line without its key, is destroyed by the next sweep.
      opened = kept.epochs().stream().filter(epoch -> labels.contains(epoch.label())).map(this::decryptionKey).toList();
    }
    return opened;
  }

  private Hpke.DecryptionKey decryptionKey(Epoch epoch) {
    byte[] seed = AtRest.open(sealing, SEALING, seedPlace(epoch.label()), bytes(epoch.sealedSeed()));
    ECPoint publicHalf = Curve.uncompressed(bytes(epoch.publicHalf()));
    return new Hpke.DecryptionKey(seed, token.agreement(epoch.label()), publicHalf);
  }

  @Override
  public TokenKeys withNextEpoch(Entropy entropy) {
    String label = EPOCH + hex(entropy.draw(16));
    byte[] seed = entropy.draw(MLKEM_SEED);
    byte[] sealedSeed = AtRest.seal(sealing, SEALING, seedPlace(label), seed, entropy);
    Arrays.fill(seed, (byte) 0);
    ECPoint publicHalf = token.generateAgreement(label);
    List<Epoch> epochs = new ArrayList<>(kept.epochs());
    epochs.add(new Epoch(label, hex(publicHalf.getEncoded(false)), hex(sealedSeed)));
    return replaced(epochs);
  }

  @Override
  public TokenKeys keepingEpochs(Predicate<Hpke.DecryptionKey> isKept, Entropy entropy) {
    List<String> labels = token.labels();
    List<Epoch> left =
        kept.epochs().stream()
            .filter(epoch -> labels.contains(epoch.label()) && isKept.test(decryptionKey(epoch)))
            .toList();
    List<String> named = left.stream().map(Epoch::label).toList();
    labels.stream().filter(label -> label.startsWith(EPOCH) && !named.contains(label)).forEach(token::destroy);
    return left.size() == kept.epochs().size() ? this : replaced(left);
  }

  @Override
  public RegistrationSecret registrationSecret(VerifiedParty self) {
    return RegistrationSecret.of(token.agreement(label(self)), self);
  }

  @Override
  public TokenKeys withRegistrationSecret(byte[] secret, VerifiedParty self, Entropy entropy) {
    try {
      token.destroy(label(self)); // of an import that was cut short
      token.importAgreement(label(self), secret);
      registrationSecret(self).requireConsistent();
      return this;
    } catch (Refusal refusal) {
      token.destroy(label(self));
      throw refusal;
    } finally {
      Arrays.fill(secret, (byte) 0);
    }
  }

  @Override
  public byte[] seal(byte[] plaintext, Entropy entropy) {
    return AtRest.seal(sealing, SEALING, Bytes.EMPTY, plaintext, entropy);
  }

  @Override
  public byte[] unseal(byte[] sealed) {
    return AtRest.open(sealing, SEALING, Bytes.EMPTY, sealed);
  }

  private TokenKeys replaced(List<Epoch> epochs) {
    byte[] newest = written(new Kept(kept.uri(), kept.verifyingKey(), epochs));
    PrivateFiles.replace(path, newest);
    return new TokenKeys(path, token, newest);
  }

  private static String label(VerifiedParty self) {
    return REGISTRATION_SECRET + hex(self.serial());
  }

  private static byte[] seedPlace(String label) {
    return Transcript.of("mlkem-seed").add(label).bytes();
  }

  private static byte[] written(Kept kept) {
    return new Gson().toJson(kept).getBytes(StandardCharsets.UTF_8);
  }

  private static Kept read(byte[] content) {
    try {
      return new Gson().fromJson(new String(content, StandardCharsets.UTF_8), Kept.class);
    } catch (JsonParseException error) {
      throw new Refusal("PROFILE_UNUSABLE", "the file that says where the keys are is damaged", error);
    }
  }

  private static String hex(byte[] data) {
    return HexFormat.of().formatHex(data);
  }

  private static byte[] bytes(String hex) {
    return HexFormat.of().parseHex(hex);
  }
}
