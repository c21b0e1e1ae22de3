package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.Grant;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.SignedStatement;
import java.util.List;

/** Why a doctor is allowed something, decided: the patient's grant held. Whoever has none is allowed nothing. */
public record Access(List<String> departmentClasses, List<Right> rights) {
  /** Of a patient who consents to nothing beyond the consultation. */
  static final Access NONE = new Access(List.of(), List.of());

  /** Whether it holds a right; servers decide this for themselves. */
  public boolean allows(Right right) {
    return rights.contains(right);
  }

  /**
   * What a doctor shows to be allowed something of a patient's: nothing of it is decided here. `grant` is null without one; others check it
   * by the patient's KS.
   */
  public record Claim(String patientId, SignedStatement grant, SignedStatement patientKeyStatement) {
    /** H(grant), or nothing without one: in c_P. */
    byte[] digest() {
      return grant == null ? Bytes.EMPTY : Transcript.statementDigest("grant", grant);
    }

    /** The grant's id, or nothing without one: in Sig_HPC2. */
    ByteString claimedId() {
      return grant == null ? ByteString.EMPTY : Statements.peek(Grant.getDefaultInstance(), grant).getGrantId();
    }
  }
}
