package example.medunion.client.protocol;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import example.medunion.federation.v1.SignedStatement;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import org.bouncycastle.crypto.digests.SHA256Digest;
import org.bouncycastle.crypto.ec.CustomNamedCurves;
import org.bouncycastle.crypto.params.ECDomainParameters;
import org.bouncycastle.crypto.params.ECPrivateKeyParameters;
import org.bouncycastle.crypto.signers.ECDSASigner;
import org.bouncycastle.crypto.signers.HMacDSAKCalculator;
import org.bouncycastle.crypto.signers.PlainDSAEncoding;

/** tests/vectors, read; byte strings are hex there. */
public final class Vectors {
  private static final Path DIRECTORY = Path.of("..", "..", "tests", "vectors");

  private Vectors() {}

  public static JsonObject load(String name) {
    try {
      return JsonParser.parseString(Files.readString(DIRECTORY.resolve(name + ".json"))).getAsJsonObject();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  public static List<JsonObject> all(String name) {
    return load(name).getAsJsonArray("vectors").asList().stream().map(JsonElement::getAsJsonObject).toList();
  }

  public static String text(JsonObject vector, String name) {
    return vector.get(name).getAsString();
  }

  public static byte[] bytes(JsonObject vector, String name) {
    return bytes(text(vector, name));
  }

  static byte[] bytes(String hex) {
    return HexFormat.of().parseHex(hex);
  }

  static List<byte[]> list(JsonArray array) {
    return array.asList().stream().map(element -> bytes(element.getAsString())).toList();
  }

  public static String hex(byte[] data) {
    return HexFormat.of().formatHex(data);
  }

  public static SignedStatement signed(JsonElement entry) {
    JsonObject statement = entry.getAsJsonObject();
    return SignedStatement.newBuilder()
        .setStatement(ByteString.copyFrom(bytes(statement, "statement")))
        .setSignature(ByteString.copyFrom(bytes(statement, "signature")))
        .build();
  }

  static byte[] transcript(JsonObject vector) {
    Transcript made = Transcript.of(text(vector, "label"));
    list(vector.getAsJsonArray("fields")).forEach(made::add);
    return made.bytes();
  }

  public static Hpke.DecryptionKey decryptionKey(JsonObject own) {
    return Hpke.DecryptionKey.software(bytes(own, "mlkem_seed"), bytes(own, "p256_private_key"));
  }

  public static SigningKey signingKey(JsonObject own) {
    return signingKey(bytes(own, "signing_key"));
  }

  /** A key that signs as the vectors do: with the nonce of RFC 6979. */
  public static SigningKey signingKey(byte[] scalar) {
    ECDomainParameters domain = new ECDomainParameters(CustomNamedCurves.getByName("secp256r1"));
    ECPrivateKeyParameters key = new ECPrivateKeyParameters(new BigInteger(1, scalar), domain);
    return new SigningKey() {
      @Override
      public byte[] verifyingKey() {
        return Curve.timesBasePoint(scalar).getEncoded(true);
      }

      @Override
      public byte[] ecdsa(byte[] data) {
        ECDSASigner signer = new ECDSASigner(new HMacDSAKCalculator(new SHA256Digest()));
        signer.init(true, key);
        BigInteger[] signature = signer.generateSignature(Bytes.sha256(data));
        return PlainDSAEncoding.INSTANCE.encode(Curve.ORDER, signature[0], signature[1]);
      }
    };
  }

  /** H(access), which Sig_HPC2 covers. */
  public static byte[] accessDigest(ShownAccess shown) {
    return shown.digest();
  }

  /** By the last trust bundle and the lists of the cast. */
  public static Verifier verifier() {
    JsonObject cast = load("parties");
    TrustedBundle bundle = null;
    for (JsonElement statement : cast.getAsJsonArray("trust_bundles")) {
      bundle = bundle == null ? TrustedBundle.pin(signed(statement)) : bundle.follow(signed(statement));
    }
    ByteString crl = ByteString.copyFrom(bytes(cast.getAsJsonObject("authority"), "crl"));
    return new Verifier(bundle, Lists.read(bundle, signed(cast.get("revocation_head")), List.of(crl), Revoked.ofVectors()));
  }

  /** "success", or the precise reason of a refusal. */
  public static String outcome(Runnable step) {
    try {
      step.run();
      return "success";
    } catch (Refusal refusal) {
      return refusal.preciseReason();
    }
  }
}
