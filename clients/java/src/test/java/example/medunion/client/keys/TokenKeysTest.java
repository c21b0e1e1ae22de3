package example.medunion.client.keys;

import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.hex;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import example.medunion.client.protocol.AgreementKey;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Curve;
import example.medunion.client.protocol.Hpke;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Vectors;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.Provider;
import java.security.cert.Certificate;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Keys in a token of SoftHSM, by SunPKCS11. */
class TokenKeysTest extends KeysContract {
  @Override
  Keys create(Path root) {
    PrivateFiles.writeNew(root.resolve("pin"), Bytes.text(SoftHsm.PIN + "\n"));
    return TokenKeys.create(root.resolve("token.json"), SoftHsm.uri("contract"), root.resolve("pin"), ENTROPY);
  }

  @Override
  Keys open(Path root) {
    return TokenKeys.open(root.resolve("token.json"), root.resolve("pin"));
  }

  @Test
  void agreementIsTheVectors() {
    Token token = Token.open(TokenUri.parse(SoftHsm.uri("patient")), SoftHsm.PIN);
    List<JsonObject> vectors = Vectors.all("agreement");
    for (JsonObject vector : vectors) {
      token.destroy("kem-vector");
      token.importAgreement("kem-vector", bytes(vector, "private_key"));
      byte[] shared = token.agreement("kem-vector").exchange(Curve.pointOver(bytes(vector, "point")));
      assertEquals(text(vector, "shared"), hex(shared), text(vector, "name"));
    }
    assertTrue(vectors.size() > 5);
  }

  @Test
  void noKeyCanBeReadOut() throws Exception {
    String uri = SoftHsm.uri("patient");
    Token token = Token.open(TokenUri.parse(uri), SoftHsm.PIN);
    token.generateSigning("signs");
    token.generateAgreement("agrees");
    token.importAgreement("imported", Curve.scalar(new byte[48]));
    Provider any = TokenInfo.configured(TokenUri.parse(uri).module(), TokenInfo.find(TokenUri.parse(uri)).index(), "");
    KeyStore keys = KeyStore.getInstance("PKCS11", any);
    keys.load(null, SoftHsm.PIN.toCharArray());
    assertTrue(Collections.list(keys.aliases()).containsAll(List.of("signs", "agrees", "imported")));
    for (String label : Collections.list(keys.aliases())) {
      assertNull(keys.getKey(label, null).getEncoded(), label);
    }
  }

  @Test
  void keyThatCanBeReadIsRefused() throws Exception {
    TokenUri uri = TokenUri.parse(SoftHsm.uri("faults"));
    Token token = Token.open(uri, SoftHsm.PIN);
    String readable = "attributes(import, CKO_PRIVATE_KEY, CKK_EC) = {\n  CKA_SENSITIVE = false\n  CKA_EXTRACTABLE = true\n}";
    Provider careless = TokenInfo.configured(uri.module(), TokenInfo.find(uri).index(), readable);
    KeyStore keys = KeyStore.getInstance("PKCS11", careless);
    keys.load(null, SoftHsm.PIN.toCharArray());
    Certificate[] chain = {Token.placeholder("careless")};
    keys.setKeyEntry("careless", Curve.privateKey(Curve.scalar(new byte[48])), null, chain);
    assertTrue(token.holds("careless"));
    assertEquals("KEY_INVALID", Vectors.outcome(() -> token.agreement("careless")));
    assertEquals("KEY_NOT_FOUND", Vectors.outcome(() -> token.agreement("nobody's")));
  }

  @Test
  void faultOfTheTokenIsNoFaultOfAPeer() {
    Token token = Token.open(TokenUri.parse(SoftHsm.uri("faults")), SoftHsm.PIN);
    byte[] scalar = Curve.scalar(new byte[48]);
    token.importAgreement("kem-lost", scalar);
    AgreementKey half = token.agreement("kem-lost");
    Hpke.DecryptionKey key = new Hpke.DecryptionKey(new byte[64], half, Curve.timesBasePoint(scalar));
    byte[] sealed = Hpke.seal(key.encryptionKey(), new byte[1], Bytes.EMPTY);
    assertEquals("success", Vectors.outcome(() -> key.open(sealed, Bytes.EMPTY)));
    token.destroy("kem-lost");
    assertEquals("TOKEN_UNAVAILABLE", Vectors.outcome(() -> key.open(sealed, Bytes.EMPTY)));
    Runnable step = () -> Refusal.afterOpening(() -> half.exchange(Curve.BASE_POINT));
    assertEquals("TOKEN_UNAVAILABLE", Vectors.outcome(step));
  }

  @Test
  void oneTokenIsNamedAndOneOnly() {
    for (String label : List.of("nobody", "twice")) {
      TokenUri uri = TokenUri.parse(SoftHsm.uri(label));
      assertEquals("TOKEN_NOT_FOUND", Vectors.outcome(() -> Token.open(uri, SoftHsm.PIN)));
    }
    TokenUri elsewhere = TokenUri.parse("pkcs11:token=patient?module-path=/nowhere/libsofthsm2.so");
    assertEquals("TOKEN_UNAVAILABLE", Vectors.outcome(() -> Token.open(elsewhere, SoftHsm.PIN)));
  }

  @Test
  void keysOfAnotherPartyAreLeftAlone() {
    PrivateFiles.writeNew(root.resolve("pin"), Bytes.text(SoftHsm.PIN));
    Token.open(TokenUri.parse(SoftHsm.uri("faults")), SoftHsm.PIN).generateSigning("identity");
    Runnable create =
        () -> TokenKeys.create(root.resolve("other.json"), SoftHsm.uri("faults"), root.resolve("pin"), ENTROPY);
    assertEquals("KEY_INVALID", Vectors.outcome(create));
  }

  @Test
  void whatACrashLeftIsSwept() {
    PrivateFiles.writeNew(root.resolve("pin"), Bytes.text(SoftHsm.PIN));
    Path file = root.resolve("token.json");
    TokenKeys.create(file, SoftHsm.uri("sweep"), root.resolve("pin"), ENTROPY).withNextEpoch(ENTROPY);
    Token token = Token.open(TokenUri.parse(SoftHsm.uri("sweep")), SoftHsm.PIN);
    List<String> epochs = token.labels().stream().filter(label -> label.startsWith("kem-")).toList();
    assertEquals(2, epochs.size());
    token.generateAgreement("kem-without-its-line");
    token.destroy(epochs.get(0));
    TokenKeys reopened = TokenKeys.open(file, root.resolve("pin"));
    assertEquals(1, reopened.decryptionKeys().size());
    reopened.keepingEpochs(key -> true, ENTROPY);
    assertEquals(Set.of("identity", "sealing", epochs.get(1)), Set.copyOf(token.labels()));
    assertEquals(1, TokenKeys.open(file, root.resolve("pin")).decryptionKeys().size());
  }

  @Test
  void lastTryOfThePinIsNotSpent() {
    Map<String, String> reasons =
        Map.of(
            "CKF_RNG | CKF_USER_PIN_INITIALIZED", "success",
            "CKF_RNG | CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY", "PIN_FINAL_TRY",
            "CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED", "PIN_LOCKED");
    reasons.forEach(
        (flags, reason) -> {
          String told = "Slot info for slot 3:\n  flags: CKF_TOKEN_PRESENT\nToken info for token in slot 3:\n  flags: ";
          assertEquals(reason, Vectors.outcome(() -> TokenInfo.read(3, told + flags + "\n").requireSafeLogin()), flags);
        });
  }

  @Test
  void uri() {
    TokenUri found = TokenUri.parse("pkcs11:token=dr%20chen+;serial=12?module-path=/lib/p11.so");
    assertEquals(Map.of("token", "dr chen+", "serial", "12"), found.names());
    assertEquals("/lib/p11.so", found.module());
    for (String text :
        List.of(
            "", "pkcs11:", "pkcs11:token=a", "pkcs11:?module-path=/a", "pkcs11:model=a?module-path=/a",
            "pkcs11:token=a?module-path=a.so", "pkcs11:slot-id=0?module-path=/a", "pkcs11:token=a;slot-id=0?module-path=/a",
            "pkcs11:token=a?module-path=/a&pin-value=1234", "pkcs11:token=a;token=b?module-path=/a",
            "pkcs11:token=%zz?module-path=/a", "pkcs11:token=?module-path=/a", "file:token=a?module-path=/a",
            "pkcs11:token=a?module-path=/a%0Aname", "pkcs11:token=a?module-path=/${user.home}")) {
      assertEquals("TOKEN_URI_INVALID", Vectors.outcome(() -> TokenUri.parse(text)), text);
    }
  }
}
