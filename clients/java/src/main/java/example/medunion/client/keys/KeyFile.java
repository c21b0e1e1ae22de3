package example.medunion.client.keys;

import example.medunion.client.protocol.AgreementKey;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Curve;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.RegistrationSecret;
import example.medunion.client.protocol.SigningKey;
import example.medunion.client.protocol.VerifiedParty;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.generators.SCrypt;

/**
 * Keys at rest where there is no token: one file, AES-256-GCM under a key that scrypt (RFC 7914) makes of a PIN. In this order:
 * PRK_X (32 bytes, a scalar of P-256); of each epoch, the newest last, the ML-KEM seed (64) and the P-256 half (32); and S_X
 * (32) once there is one.
 */
public final class KeyFile implements Keys {
  private static final int SALT = 16;
  private static final int NONCE = 12;
  private static final int TAG_BITS = 128;
  private static final int SCALAR = Curve.SCALAR_BYTES;
  private static final int MLKEM = 64;
  private static final int EPOCH = MLKEM + SCALAR;
  private static final int WORK = 1 << 17;

  private final Path path;
  private final Path pinFile;
  private final byte[] content;
  private final byte[] secrets;

  private KeyFile(Path path, Path pinFile, byte[] content, byte[] secrets) {
    this.path = path;
    this.pinFile = pinFile;
    this.content = content;
    this.secrets = secrets;
  }

  /** Makes fresh keys, of a first epoch too, and a new file for them. */
  public static KeyFile create(Path path, Path pinFile, Entropy entropy) {
    byte[] secrets = Bytes.concat(scalar(entropy), epoch(entropy));
    byte[] content = sealed(secrets, pin(pinFile), entropy);
    PrivateFiles.writeNew(path, content);
    return new KeyFile(path, pinFile, content, secrets);
  }

  /** Opens the file with the PIN of that file. */
  public static KeyFile open(Path path, Path pinFile) {
    byte[] content = PrivateFiles.read(path);
    return new KeyFile(path, pinFile, content, opened(content, pin(pinFile)));
  }

  @Override
  public KeyFile reread() {
    return Arrays.equals(content, PrivateFiles.read(path)) ? this : open(path, pinFile);
  }

  @Override
  public SigningKey signingKey() {
    return SigningKey.software(Arrays.copyOf(secrets, SCALAR));
  }

  @Override
  public List<Hpke.DecryptionKey> decryptionKeys() {
    List<Hpke.DecryptionKey> keys = new ArrayList<>();
    for (int at = SCALAR; at < endOfEpochs(); at += EPOCH) {
      keys.add(decryptionKey(at));
    }
    return keys;
  }

  @Override
  public KeyFile withNextEpoch(Entropy entropy) {
    byte[] epochs = Arrays.copyOf(secrets, endOfEpochs());
    return replaced(Bytes.concat(epochs, epoch(entropy), keptRegistrationSecret()), entropy);
  }

  @Override
  public KeyFile keepingEpochs(Predicate<Hpke.DecryptionKey> kept, Entropy entropy) {
    byte[] left = Arrays.copyOf(secrets, SCALAR);
    for (int at = SCALAR; at < endOfEpochs(); at += EPOCH) {
      if (kept.test(decryptionKey(at))) {
        left = Bytes.concat(left, Arrays.copyOfRange(secrets, at, at + EPOCH));
      }
    }
    return left.length == endOfEpochs() ? this : replaced(Bytes.concat(left, keptRegistrationSecret()), entropy);
  }

  @Override
  public RegistrationSecret registrationSecret(VerifiedParty self) {
    byte[] secret = keptRegistrationSecret();
    Refusal.require(secret.length > 0, "NOT_REGISTERED", "this party is not registered yet");
    return RegistrationSecret.of(AgreementKey.software(secret), self);
  }

  @Override
  public KeyFile withRegistrationSecret(byte[] secret, VerifiedParty self, Entropy entropy) {
    try {
      RegistrationSecret.of(AgreementKey.software(secret), self).requireConsistent();
      return replaced(Bytes.concat(Arrays.copyOf(secrets, endOfEpochs()), secret), entropy);
    } finally {
      Arrays.fill(secret, (byte) 0);
    }
  }

  @Override
  public byte[] seal(byte[] plaintext, Entropy entropy) {
    return sealed(plaintext, pin(pinFile), entropy);
  }

  @Override
  public byte[] unseal(byte[] sealed) {
    return opened(sealed, pin(pinFile));
  }

  /** Puts other keys in this file's place, and wipes these: use what this gives. */
  private KeyFile replaced(byte[] others, Entropy entropy) {
    byte[] sealed = sealed(others, pin(pinFile), entropy);
    PrivateFiles.replace(path, sealed);
    Arrays.fill(secrets, (byte) 0);
    return new KeyFile(path, pinFile, sealed, others);
  }

  private Hpke.DecryptionKey decryptionKey(int at) {
    byte[] p256 = Arrays.copyOfRange(secrets, at + MLKEM, at + EPOCH);
    return Hpke.DecryptionKey.software(Arrays.copyOfRange(secrets, at, at + MLKEM), p256);
  }

  private static byte[] epoch(Entropy entropy) {
    return Bytes.concat(entropy.draw(MLKEM), scalar(entropy));
  }

  private static byte[] scalar(Entropy entropy) {
    return Curve.scalar(entropy.draw(Curve.SCALAR_SEED_BYTES));
  }

  private byte[] keptRegistrationSecret() {
    return Arrays.copyOfRange(secrets, endOfEpochs(), secrets.length);
  }

  /** Where S_X begins, if it is there: an epoch has more bytes. */
  private int endOfEpochs() {
    return SCALAR + (secrets.length - SCALAR) / EPOCH * EPOCH;
  }

  private static byte[] pin(Path path) {
    return PrivateFiles.readPin(path).getBytes(StandardCharsets.UTF_8);
  }

  private static byte[] sealed(byte[] plaintext, byte[] pin, Entropy entropy) {
    byte[] salt = entropy.draw(SALT);
    byte[] nonce = entropy.draw(NONCE);
    try {
      return Bytes.concat(salt, nonce, cipher(Cipher.ENCRYPT_MODE, pin, salt, nonce).doFinal(plaintext));
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private static byte[] opened(byte[] content, byte[] pin) {
    boolean whole = content.length >= SALT + NONCE + TAG_BITS / 8;
    Refusal.require(whole, "PIN_INCORRECT", "the file is damaged: it is cut short");
    try {
      byte[] salt = Arrays.copyOf(content, SALT);
      byte[] nonce = Arrays.copyOfRange(content, SALT, SALT + NONCE);
      Cipher cipher = cipher(Cipher.DECRYPT_MODE, pin, salt, nonce);
      return cipher.doFinal(content, SALT + NONCE, content.length - SALT - NONCE);
    } catch (AEADBadTagException error) {
      throw new Refusal("PIN_INCORRECT", "the PIN does not open the key file, or the file is damaged", error);
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private static Cipher cipher(int mode, byte[] pin, byte[] salt, byte[] nonce) throws GeneralSecurityException {
    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
    byte[] key = SCrypt.generate(pin, salt, WORK, 8, 1, 32);
    cipher.init(mode, new SecretKeySpec(key, "AES"), new GCMParameterSpec(TAG_BITS, nonce));
    return cipher;
  }
}
