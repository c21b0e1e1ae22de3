package example.medunion.client.keys;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.client.protocol.AgreementKey;
import example.medunion.client.protocol.Curve;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.SigningKey;
import java.io.IOException;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.ProviderException;
import java.security.PublicKey;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import javax.crypto.KeyAgreement;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.math.ec.ECPoint;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/**
 * P-256 keys in a PKCS#11 token, by the JDK's SunPKCS11: they can't be read, and each either signs or agrees. The provider
 * takes a key's attributes from its configuration, so there is one for each of the two. It keeps a private key under a label
 * only beside a certificate: there is one for each, of a key that nobody has, and nobody reads it.
 */
final class Token {
  private static final String GUARDED = "  CKA_PRIVATE = true\n  CKA_SENSITIVE = true\n  CKA_EXTRACTABLE = false\n";
  private static final String SIGNS = "  CKA_SIGN = true\n  CKA_DERIVE = false\n";
  private static final String AGREES = "  CKA_SIGN = false\n  CKA_DERIVE = true\n";
  private static final Date LAST = new Date(253_402_300_799_000L); // of RFC 5280

  private final Provider signing;
  private final Provider agreeing;
  private final KeyStore signingKeys;
  private final KeyStore agreementKeys;

  private Token(Provider signing, Provider agreeing, KeyStore signingKeys, KeyStore agreementKeys) {
    this.signing = signing;
    this.agreeing = agreeing;
    this.signingKeys = signingKeys;
    this.agreementKeys = agreementKeys;
  }

  /** Logs in at the token that the URI names. The PIN is presented once. */
  static Token open(TokenUri uri, String pin) {
    TokenInfo info = TokenInfo.find(uri);
    info.requireSafeLogin();
    Provider signing = TokenInfo.configured(uri.module(), info.index(), attributes(SIGNS));
    Provider agreeing = TokenInfo.configured(uri.module(), info.index(), attributes(AGREES));
    return new Token(signing, agreeing, keyStore(signing, pin), keyStore(agreeing, pin));
  }

  /** How keys are made and imported; a derived secret can be read, for CKD_NULL is the one way that the provider has. */
  private static String attributes(String usage) {
    return "attributes(generate, CKO_PRIVATE_KEY, CKK_EC) = {\n  CKA_TOKEN = true\n" + GUARDED + usage + "}\n"
        + "attributes(import, CKO_PRIVATE_KEY, CKK_EC) = {\n" + GUARDED + usage + "}\n"
        + "attributes(generate, CKO_SECRET_KEY, CKK_GENERIC_SECRET) = {\n"
        + "  CKA_TOKEN = false\n  CKA_SENSITIVE = false\n  CKA_EXTRACTABLE = true\n  CKA_VALUE_LEN = 32\n}";
  }

  private static KeyStore keyStore(Provider provider, String pin) {
    try {
      KeyStore keys = KeyStore.getInstance("PKCS11", provider);
      keys.load(null, pin.toCharArray());
      return keys;
    } catch (IOException | GeneralSecurityException | ProviderException error) {
      throw refusedLogin(error);
    }
  }

  private static Refusal refusedLogin(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      String told = String.valueOf(cause.getMessage());
      if (told.contains("CKR_PIN_LOCKED")) {
        return new Refusal("PIN_LOCKED", "the token has locked its PIN", error);
      }
      if (told.contains("CKR_PIN_INCORRECT") || told.contains("CKR_PIN_INVALID") || told.contains("CKR_PIN_LEN_RANGE")) {
        return new Refusal("PIN_INCORRECT", "the token does not take the PIN", error);
      }
    }
    return unavailable(error);
  }

  /** What of a token's work may fail. */
  @FunctionalInterface
  private interface Work<T> {
    T run() throws GeneralSecurityException, IOException;
  }

  private static <T> T asked(Work<T> work) {
    try {
      return work.run();
    } catch (GeneralSecurityException | IOException | ProviderException error) {
      throw unavailable(error);
    }
  }

  private static Refusal unavailable(Throwable error) {
    return new Refusal("TOKEN_UNAVAILABLE", "the token does not do what it was asked", error);
  }

  /** Makes a key for signatures under a new label; gives its public half. */
  ECPoint generateSigning(String label) {
    return generate(signing, signingKeys, label);
  }

  /** Makes a key for agreement under a new label; gives its public half. */
  ECPoint generateAgreement(String label) {
    return generate(agreeing, agreementKeys, label);
  }

  private ECPoint generate(Provider provider, KeyStore keys, String label) {
    requireNew(label);
    return asked(
        () -> {
          KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", provider);
          generator.initialize(new ECGenParameterSpec("secp256r1"));
          KeyPair pair = generator.generateKeyPair();
          keys.setKeyEntry(label, pair.getPrivate(), null, new X509Certificate[] {placeholder(label)});
          return Curve.pointOf((ECPublicKey) pair.getPublic());
        });
  }

  /** Imports a scalar (32 bytes) for agreement; its public half stands nowhere. The caller wipes its copy. */
  void importAgreement(String label, byte[] scalar) {
    requireNew(label);
    asked(
        () -> {
          agreementKeys.setKeyEntry(label, Curve.privateKey(scalar), null, new X509Certificate[] {placeholder(label)});
          return null;
        });
  }

  /** Opens a key for signatures, with its public half. Refuses with KEY_NOT_FOUND. */
  SigningKey signing(String label, ECPoint point) {
    return SigningKey.of(point, key(signingKeys, label), signing);
  }

  /** Opens a key for agreement. Refuses with KEY_NOT_FOUND. */
  AgreementKey agreement(String label) {
    PrivateKey key = key(agreementKeys, label);
    return peer ->
        asked(
            () -> {
              KeyAgreement agreement = KeyAgreement.getInstance("ECDH", agreeing);
              agreement.init(key);
              agreement.doPhase(Curve.publicKey(peer), true);
              byte[] shared = agreement.generateSecret();
              require(shared.length == Curve.POINT_BYTES, "TOKEN_UNAVAILABLE", "the token gave no x-coordinate");
              return shared;
            });
  }

  private static PrivateKey key(KeyStore keys, String label) {
    PrivateKey key = asked(() -> (PrivateKey) keys.getKey(label, null));
    require(key != null, "KEY_NOT_FOUND", "the token holds no key " + label);
    require(key.getEncoded() == null, "KEY_INVALID", "the key " + label + " can be read out of the token");
    return key;
  }

  boolean holds(String label) {
    return labels().contains(label);
  }

  /** The labels of all keys, as they are there now. */
  List<String> labels() {
    return asked(
        () -> {
          // Another process may have made or destroyed some.
          signingKeys.load(null, null);
          agreementKeys.load(null, null);
          return Collections.list(agreementKeys.aliases());
        });
  }

  /** Destroys a key for good; none there is no error. */
  void destroy(String label) {
    asked(
        () -> {
          if (agreementKeys.containsAlias(label)) {
            agreementKeys.deleteEntry(label);
          }
          return null;
        });
  }

  private void requireNew(String label) {
    require(!holds(label), "KEY_INVALID", "the token holds a key " + label + " already");
  }

  /** A certificate of no key that anybody has. */
  static X509Certificate placeholder(String label) throws GeneralSecurityException {
    KeyPair nobody = Curve.keyPair();
    X500Name name = new X500Name("CN=" + label);
    PublicKey key = nobody.getPublic();
    try {
      return new JcaX509CertificateConverter()
          .getCertificate(
              new JcaX509v3CertificateBuilder(name, BigInteger.ONE, new Date(0), LAST, name, key)
                  .build(new JcaContentSignerBuilder("SHA256withECDSA").build(nobody.getPrivate())));
    } catch (OperatorCreationException error) {
      throw new GeneralSecurityException(error);
    }
  }
}
