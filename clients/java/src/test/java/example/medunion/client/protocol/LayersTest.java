package example.medunion.client.protocol;

import static example.medunion.client.protocol.Vectors.all;
import static example.medunion.client.protocol.Vectors.bytes;
import static example.medunion.client.protocol.Vectors.hex;
import static example.medunion.client.protocol.Vectors.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import example.medunion.federation.v1.DepositReceipt;
import example.medunion.federation.v1.Duty;
import example.medunion.federation.v1.Emergency;
import example.medunion.federation.v1.EncryptionKeyRenewal;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.Grant;
import example.medunion.federation.v1.Guardianship;
import example.medunion.federation.v1.KeyStatement;
import example.medunion.federation.v1.Mandate;
import example.medunion.federation.v1.MedicalAuthority;
import example.medunion.federation.v1.PublicationReceipt;
import example.medunion.federation.v1.RenewalReceipt;
import example.medunion.federation.v1.Restriction;
import example.medunion.federation.v1.Review;
import example.medunion.federation.v1.RevocationHead;
import example.medunion.federation.v1.RevocationShard;
import example.medunion.federation.v1.SignedStatement;
import example.medunion.federation.v1.Sweep;
import example.medunion.federation.v1.TrustBundle;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The layers below the messages: transcripts, schedule, derivations, statements, bundles. */
class LayersTest {
  @Test
  void transcripts() {
    List<JsonObject> vectors = all("transcript");
    for (JsonObject vector : vectors) {
      byte[] made = Vectors.transcript(vector);
      assertEquals(text(vector, "transcript"), hex(made));
      assertEquals(text(vector, "sha256"), hex(Bytes.sha256(made)));
    }
    assertTrue(vectors.size() > 5);
  }

  @Test
  void sizesUnderASessionKey() {
    List<JsonObject> vectors = all("padding");
    for (JsonObject vector : vectors) {
      assertEquals(vector.get("padded").getAsLong(), Padding.padded(vector.get("size").getAsLong()));
    }
    assertTrue(vectors.size() > 5);
  }

  @Test
  void formsOfFields() {
    Map<String, Message> types =
        Stream.<Message>of(
                EncryptionKeyRenewal.getDefaultInstance(),
                MedicalAuthority.getDefaultInstance(),
                DepositReceipt.getDefaultInstance())
            .collect(Collectors.toMap(type -> type.getDescriptorForType().getFullName(), type -> type));
    List<JsonObject> vectors = all("forms");
    for (JsonObject vector : vectors) {
      Message type = types.get(text(vector, "message_type"));
      String outcome = Vectors.outcome(() -> Rules.parse(type, bytes(vector, "message")));
      assertEquals(text(vector, "expect"), outcome, text(vector, "name"));
    }
    assertTrue(vectors.size() > 50);
  }

  @Test
  void bothKeySchedules() {
    List<JsonObject> vectors = all("schedule");
    for (JsonObject vector : vectors) {
      JsonObject stated = vector.getAsJsonObject("transcript_hash");
      byte[] hash = Bytes.sha256(Vectors.transcript(stated));
      assertEquals(text(stated, "value"), hex(hash));
      List<byte[]> contributions = Vectors.list(vector.getAsJsonArray("contributions"));
      SessionKeys.Shared shared = new SessionKeys.Shared(bytes(vector, "K1"), bytes(vector, "K2"), bytes(vector, "Z"));
      String roles = text(vector, "roles");
      SessionKeys keys = SessionKeys.derive(shared, contributions.get(0), contributions.get(1), hash, roles);
      JsonObject expected = vector.getAsJsonObject("keys");
      String there = roles.charAt(0) + ">" + roles.charAt(1);
      String back = roles.charAt(1) + ">" + roles.charAt(0);
      assertEquals(text(expected, "k_" + there), hex(keys.forward().key()));
      assertEquals(text(expected, "iv_" + there), hex(keys.forward().iv()));
      assertEquals(text(expected, "k_" + back), hex(keys.backward().key()));
      assertEquals(text(expected, "iv_" + back), hex(keys.backward().iv()));
      assertEquals(text(expected, "kc_" + roles.charAt(1)), hex(keys.keyConfirmation()));
    }
    assertEquals(2, vectors.size());
  }

  @Test
  void hashesHmacsAndHkdfsOfTranscript() {
    List<JsonObject> vectors = all("derived");
    for (JsonObject vector : vectors) {
      byte[] made = Vectors.transcript(vector);
      assertEquals(text(vector, "transcript"), hex(made));
      byte[] value =
          switch (text(vector, "kind")) {
            case "sha256" -> Bytes.sha256(made);
            case "hmac-sha256" -> Bytes.hmac(bytes(vector, "key"), made);
            default -> {
              byte[] material = Bytes.concat(bytes(vector, "fuzzy_key"), bytes(vector, "device_secret"));
              yield Bytes.hkdf(material, made, bytes(vector, "value").length);
            }
          };
      assertEquals(text(vector, "value"), hex(value), text(vector, "name"));
    }
    assertTrue(vectors.size() > 10);
  }

  @Test
  void everyKindOfStatement() {
    Map<String, Message> types =
        Stream.<Message>of(
                DepositReceipt.getDefaultInstance(),
                Duty.getDefaultInstance(),
                Emergency.getDefaultInstance(),
                EncryptionKeyStatement.getDefaultInstance(),
                Grant.getDefaultInstance(),
                Guardianship.getDefaultInstance(),
                KeyStatement.getDefaultInstance(),
                Mandate.getDefaultInstance(),
                PublicationReceipt.getDefaultInstance(),
                RenewalReceipt.getDefaultInstance(),
                Restriction.getDefaultInstance(),
                Review.getDefaultInstance(),
                RevocationHead.getDefaultInstance(),
                TrustBundle.getDefaultInstance())
            .collect(Collectors.toMap(type -> type.getDescriptorForType().getFullName(), type -> type));
    List<JsonObject> vectors = all("statements");
    for (JsonObject vector : vectors) {
      SignedStatement signed = Vectors.signed(vector);
      String label = text(vector, "label");
      Message type = types.get(text(vector, "message_type"));
      assertEquals(text(vector, "digest"), hex(Transcript.statementDigest(label, signed)));
      byte[] key = bytes(vector, "verifying_key");
      Statements.open(label, type, signed, key);
      Runnable other = () -> Statements.open("other", type, signed, key);
      assertEquals("SIGNATURE_INVALID", Vectors.outcome(other));
    }
    assertTrue(vectors.size() > 10);
  }

  @Test
  void shardsAndWhatProvesThem() {
    List<JsonObject> vectors = all("revocations").stream().filter(it -> text(it, "kind").equals("shard")).toList();
    for (JsonObject vector : vectors) {
      RevocationShard.Builder shard = RevocationShard.newBuilder().setPrefix(vector.get("prefix").getAsInt());
      Vectors.list(vector.getAsJsonArray("entries")).forEach(entry -> shard.addEntries(ByteString.copyFrom(entry)));
      for (JsonElement each : vector.getAsJsonArray("sweeps")) {
        JsonObject sweep = each.getAsJsonObject();
        ByteString digest = ByteString.copyFrom(bytes(sweep, "patient_digest"));
        shard.addSweeps(Sweep.newBuilder().setPatientDigest(digest).setBefore(sweep.get("before").getAsLong()));
      }
      Vectors.list(vector.getAsJsonArray("path")).forEach(beside -> shard.addPath(ByteString.copyFrom(beside)));
      ByteString root = ByteString.copyFrom(bytes(vector, "root"));
      Runnable take = () -> Shards.requireProven(shard.build(), root);
      assertEquals(text(vector, "expect"), Vectors.outcome(take), text(vector, "name"));
    }
    assertTrue(vectors.size() > 10);
  }

  @Test
  void chainOfTrustBundlesAndSuccessorsThatNobodyMayFollow() {
    List<TrustedBundle> chain = new ArrayList<>();
    for (JsonElement bundle : Vectors.load("parties").getAsJsonArray("trust_bundles")) {
      SignedStatement signed = Vectors.signed(bundle);
      chain.add(chain.isEmpty() ? TrustedBundle.pin(signed) : chain.get(chain.size() - 1).follow(signed));
    }
    List<JsonObject> vectors = all("bundles");
    for (JsonObject vector : vectors) {
      int follows = vector.get("follows").getAsInt();
      SignedStatement signed = Vectors.signed(vector);
      Runnable take =
          follows == 0
              ? () -> TrustedBundle.pin(signed, bytes(vector, "digest"))
              : () -> chain.get(follows - 1).follow(signed);
      assertEquals(text(vector, "expect"), Vectors.outcome(take), text(vector, "name"));
    }
    assertTrue(vectors.stream().filter(vector -> !text(vector, "expect").equals("success")).count() > 5);
    assertTrue(ByteString.copyFrom(chain.get(0).digest()).size() == 32);
  }
}
