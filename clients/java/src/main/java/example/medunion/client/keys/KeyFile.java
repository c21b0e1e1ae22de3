package example.medunion.client.keys;

import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.RegistrationSecret;
import example.medunion.client.protocol.SigningKey;
import example.medunion.client.protocol.X25519Key;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.generators.SCrypt;

/**
 * Keys at rest where there is no token: one file, AES-256-GCM under a key that scrypt (RFC 7914) makes of a PIN. In this order: the seed of
 * PRK_X (32 bytes), the ML-KEM seed (64), the X25519 half (32), and S_X (32) once there is one.
 */
public final class KeyFile {
  private static final int SALT = 16;
  private static final int NONCE = 12;
  private static final int TAG_BITS = 128;
  private static final int KEYS = 128;
  private static final int WORK = 1 << 17;

  private final Path path;
  private final Path pinFile;
  private final byte[] secrets;

  private KeyFile(Path path, Path pinFile, byte[] secrets) {
    this.path = path;
    this.pinFile = pinFile;
    this.secrets = secrets;
  }

  /** Makes fresh keys, and a new file for them. */
  public static KeyFile create(Path path, Path pinFile, Entropy entropy) {
    KeyFile file = new KeyFile(path, pinFile, entropy.draw(KEYS));
    PrivateFiles.writeNew(path, sealed(file.secrets, pin(pinFile), entropy));
    return file;
  }

  /** Opens the file with the PIN of that file. */
  public static KeyFile open(Path path, Path pinFile) {
    return new KeyFile(path, pinFile, opened(PrivateFiles.read(path), pin(pinFile)));
  }

  public SigningKey signingKey() {
    return SigningKey.software(Arrays.copyOf(secrets, 32));
  }

  public Hpke.DecryptionKey decryptionKey() {
    byte[] x25519 = Arrays.copyOfRange(secrets, 96, KEYS);
    return new Hpke.DecryptionKey(Arrays.copyOfRange(secrets, 32, 96), X25519Key.software(x25519));
  }

  /** S_X, with the U_X that it belongs to. */
  public RegistrationSecret registrationSecret(byte[] publicPoint) {
    Refusal.require(secrets.length > KEYS, "NOT_REGISTERED", "this party is not registered yet");
    return RegistrationSecret.software(Arrays.copyOfRange(secrets, KEYS, secrets.length), publicPoint);
  }

  /** Keeps S_X (32 bytes), and wipes the caller's copy. */
  public KeyFile withRegistrationSecret(byte[] secret, Entropy entropy) {
    byte[] all = Bytes.concat(Arrays.copyOf(secrets, KEYS), secret);
    Arrays.fill(secret, (byte) 0);
    PrivateFiles.replace(path, sealed(all, pin(pinFile), entropy));
    return new KeyFile(path, pinFile, all);
  }

  private static byte[] pin(Path path) {
    String pin = new String(PrivateFiles.read(path), StandardCharsets.UTF_8).stripTrailing();
    Refusal.require(!pin.isEmpty(), "PIN_INCORRECT", path + " holds no PIN");
    return pin.getBytes(StandardCharsets.UTF_8);
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
