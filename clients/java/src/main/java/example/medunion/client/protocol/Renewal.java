package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.EncryptionKeyRenewal;
import example.medunion.federation.v1.EncryptionKeyStatement;
import example.medunion.federation.v1.PutEncryptionKeyResponse;
import example.medunion.federation.v1.RenewalReceipt;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SignedStatement;
import java.util.Optional;

/** Renewal of an encryption key: the next EK_X goes to the cloud, ekput, and its receipt comes back, ekack (docs/protocol.md, 2). */
public final class Renewal {
  private static final long BACKDATED = 60_000;

  private Renewal() {}

  /** The cloud has the key. `keyStatement` is the own KS_X as a rotated PRK_C has signed it anew, if it did. */
  public record Renewed(RenewalReceipt receipt, Optional<SignedStatement> keyStatement) {}

  /** States the key of an epoch that lasts so long: EK_X. It begins a minute ago, for others' clocks differ. */
  public static SignedStatement state(
      String identity, Hpke.DecryptionKey key, SigningKey signingKey, long now, long millis) {
    EncryptionKeyStatement epoch =
        EncryptionKeyStatement.newBuilder()
            .setIdentity(identity)
            .setVerifyingKeyDigest(ByteString.copyFrom(Bytes.sha256(signingKey.verifyingKey())))
            .setKeyId(ByteString.copyFrom(key.keyId()))
            .setKem(Hpke.KEM_ID)
            .setEncryptionKey(ByteString.copyFrom(key.encryptionKey()))
            .setNotBefore(now - BACKDATED)
            .setNotAfter(now + millis)
            .build();
    return Statements.sign("ek", epoch, signingKey);
  }

  /** Sends ekput. `address` is where a hospital is dialled, null for others. What was sent once is not taken again: make it anew. */
  public static AwaitingReceipt put(
      SignedStatement epoch, String address, SigningKey signingKey, EncryptionKey cloud, long now) {
    EncryptionKeyRenewal.Builder payload =
        EncryptionKeyRenewal.newBuilder().setEncryptionKeyStatement(epoch).setSentAt(now);
    if (address != null) {
      payload.setAddress(address);
    }
    byte[] signed =
        Transcript.of("ekput")
            .add(epoch.getStatement())
            .add(payload.getAddress())
            .add(now)
            .add(cloud.owner())
            .bytes();
    payload.setSignature(ByteString.copyFrom(signingKey.sign(signed)));
    Context context =
        new Context("ekput", Context.UNNAMED, cloud.owner(), cloud.keyId(), Bytes.EMPTY, now);
    return new AwaitingReceipt(epoch, Sealing.seal(payload.build(), cloud.encryptionKey(), context).opening());
  }

  /** ekput is made: send it. */
  public record AwaitingReceipt(SignedStatement epoch, SealedOpening opening) {
    /** Takes ekack, and beside it the newest KS_X; `kept` is the KS_X at hand. */
    public Renewed receive(PutEncryptionKeyResponse answer, SignedStatement kept, Verifier verifier, long now) {
      Rules.checkOuter(answer);
      RenewalReceipt type = RenewalReceipt.getDefaultInstance();
      byte[] key = verifier.bundle().cloudKeyAt(Statements.peek(type, answer.getReceipt()).getDoneAt());
      RenewalReceipt receipt = Statements.open("ekack", type, answer.getReceipt(), key);
      ByteString sent = Statements.peek(EncryptionKeyStatement.getDefaultInstance(), epoch).getKeyId();
      require(receipt.getKeyId().equals(sent), "ANSWER_MISMATCH", "the receipt is for another encryption key");
      if (!answer.hasKeyStatement() || answer.getKeyStatement().equals(kept)) {
        return new Renewed(receipt, Optional.empty());
      }
      return new Renewed(receipt, Optional.of(verifier.restated(answer.getKeyStatement(), kept, now).keyStatement()));
    }
  }
}
