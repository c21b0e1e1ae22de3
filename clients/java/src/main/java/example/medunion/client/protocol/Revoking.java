package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.Deputyship;
import example.medunion.federation.v1.Mandate;
import example.medunion.federation.v1.Revocation;
import example.medunion.federation.v1.RevokeResponse;
import example.medunion.federation.v1.RevokedStatement;
import example.medunion.federation.v1.SealedOpening;
import example.medunion.federation.v1.SignedStatement;
import example.medunion.federation.v1.StatementKind;
import java.util.List;

/** Taking back what was signed in a patient's name, before its end: rev, and the revocation list that answers it. */
public final class Revoking {
  /** How many statements one rev takes back. */
  public static final int MOST_STATEMENTS = 16;

  private Revoking() {}

  /** A statement that is to be taken back. */
  public record Stated(StatementKind kind, String label, ByteString id, SignedStatement signed) {
    public static Stated grant(SignedStatement signed) {
      return new Stated(StatementKind.STATEMENT_KIND_GRANT, "grant", AccessStatements.peekGrant(signed).id(), signed);
    }

    public static Stated mandate(SignedStatement signed) {
      Mandate mandate = Statements.peek(Mandate.getDefaultInstance(), signed);
      return new Stated(StatementKind.STATEMENT_KIND_MANDATE, "mandate", mandate.getMandateId(), signed);
    }
  }

  /**
   * What is taken back of what is about a patient: statements, or everything that was signed before a time, which is null for
   * statements. `deputyship` is by what a deputy does so, null where it is the patient itself.
   */
  public record TakenBack(String ownerId, List<Stated> statements, Long before, Deputyship deputyship) {}

  /** Makes rev. The cloud takes none twice: make it anew. */
  public static AwaitingList revoke(TakenBack taken, Party party, EncryptionKey cloud, long now, Entropy entropy) {
    Revocation.Builder payload =
        Revocation.newBuilder()
            .setOwnerId(taken.ownerId())
            .setKeyStatement(party.self().keyStatement())
            .setNonce(ByteString.copyFrom(entropy.draw(16)))
            .setSentAt(now);
    taken
        .statements()
        .forEach(one -> payload.addStatements(RevokedStatement.newBuilder().setKind(one.kind()).setStatement(one.signed())));
    if (taken.before() != null) {
      payload.setBefore(taken.before());
    }
    if (taken.deputyship() != null) {
      payload.setDeputyship(taken.deputyship());
    }
    byte[] signed = transcript(taken, payload, cloud.owner());
    payload.setSignature(ByteString.copyFrom(party.signingKey().sign(signed)));
    Context context = new Context("rev", Context.UNNAMED, cloud.owner(), cloud.keyId(), Bytes.EMPTY, now);
    return new AwaitingList(taken, Sealing.seal(payload.build(), cloud.encryptionKey(), context).opening());
  }

  /** rev is made: send it. */
  public record AwaitingList(TakenBack taken, SealedOpening opening) {
    /** Takes the head and the shards in which what was taken back has to stand. */
    public void receive(RevokeResponse answer, TrustedBundle bundle) {
      Rules.checkOuter(answer);
      Lists lists = Lists.read(bundle, answer.getRevocations(), List.of()); // rev.13
      String sentence = "the revocation list does not name what was taken back";
      try {
        require(isNamedBy(lists), "ANSWER_MISMATCH", sentence); // rev.14
      } catch (Refusal refusal) {
        throw new Refusal("ANSWER_MISMATCH", sentence, refusal); // a shard may be missing
      }
    }

    private boolean isNamedBy(Lists lists) {
      boolean named =
          taken.statements().stream().allMatch(one -> lists.isRevoked(one.label(), taken.ownerId(), one.id()));
      return named && (taken.before() == null || taken.before() <= lists.sweptBefore(taken.ownerId()));
    }
  }

  /** T("rev", ID_O, [T("row", kind, statement)...], before or empty, Hs(deputyship) or empty, KS_X, nonce, T, ID_C). */
  private static byte[] transcript(TakenBack taken, Revocation.Builder payload, String cloudId) {
    List<byte[]> rows =
        taken.statements().stream()
            .map(one -> Transcript.of("row").add(one.label()).add(one.signed().getStatement()).bytes())
            .toList();
    Deputyship by = taken.deputyship();
    return Transcript.of("rev")
        .add(taken.ownerId())
        .add(Transcript.listing(rows))
        .add(taken.before() == null ? Bytes.EMPTY : Bytes.u64(taken.before()))
        .add(by == null ? Bytes.EMPTY : AccessStatements.statementOf(by).signedDigest())
        .add(payload.getKeyStatement().getStatement())
        .add(payload.getNonce())
        .add(payload.getSentAt())
        .add(cloudId)
        .bytes();
  }
}
