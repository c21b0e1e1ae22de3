package example.medunion.client.calls;

import java.util.Map;
import java.util.Optional;

/**
 * What a person reads of a peer's refusal, by its reason (docs/errors.md). A peer's own sentence is shown to nobody: it could say anything, in
 * this program's name.
 */
final class Words {
  private static final Map<String, String> BY_REASON =
      Map.ofEntries(
          Map.entry("ALREADY_EXISTS", "there is such a thing already"),
          Map.entry("ALREADY_REGISTERED", "the identity is registered already"),
          Map.entry("ANSWER_MISMATCH", "an answer belongs to another question"),
          Map.entry("ATTRIBUTE_CHANGED", "a member that registers again may not change what it is certified for"),
          Map.entry("BUNDLE_BACKDATED", "the trust bundle was made before its predecessor"),
          Map.entry("BUNDLE_FOREIGN", "the trust bundle is another federation's"),
          Map.entry("BUNDLE_INVALID", "the trust bundle contradicts itself"),
          Map.entry("BUNDLE_OUT_OF_SEQUENCE", "the trust bundle is not the next one"),
          Map.entry("BUNDLE_REWRITES_HISTORY", "the trust bundle alters what its predecessor says"),
          Map.entry("BUNDLE_SIGNER_UNKNOWN", "the trust bundle is signed by nobody who may"),
          Map.entry("BUNDLE_STALE", "the server's trust bundle is not confirmed any more"),
          Map.entry("BUNDLE_UNPINNED", "the trust bundle is not the one that was handed over"),
          Map.entry("CALL_OVERDUE", "the server took too long"),
          Map.entry("CERTIFICATE_EXPIRED", "the certificate, or its authority's, is outside its validity"),
          Map.entry("CERTIFICATE_FOREIGN", "the certificate is another doctor's, or for another key"),
          Map.entry("CERTIFICATE_ILLEGAL", "the certificate is not a doctor's of this federation"),
          Map.entry("CERTIFICATE_OUT_OF_SCOPE", "the medical authority may not certify this doctor"),
          Map.entry("CERTIFICATE_REVOKED", "the certificate is revoked"),
          Map.entry("CHALLENGE_INVALID", "the registration took too long: begin again"),
          Map.entry("CLOUD_KEY_REVOKED", "the public cloud's key behind a statement is revoked"),
          Map.entry("CLOUD_KEY_UNKNOWN", "the server does not know the public cloud's key: its trust bundle may be older"),
          Map.entry("COMMITMENT_MISMATCH", "the commitment is to another patient, grant or scope"),
          Map.entry("CREDENTIAL_EXPIRED", "a credential or key is outside its validity"),
          Map.entry("CREDENTIAL_INVALID", "a credential does not hold for the server"),
          Map.entry("CREDENTIAL_LIVE", "the credential is the live one of its identity"),
          Map.entry("CREDENTIAL_REVOKED", "a credential or key is revoked"),
          Map.entry("CREDENTIAL_SUPERSEDED", "the message is for an earlier credential of the other side: begin anew"),
          Map.entry("DEPARTMENT_FOREIGN", "the department is another hospital's"),
          Map.entry("EMERGENCY_NOT_SUPPORTED", "emergencies are not served in this release"),
          Map.entry("FIELD_INVALID", "a field of the message breaks its rule"),
          Map.entry("FUTURE_DATED", "this machine's clock is ahead of the server's: compare clocks"),
          Map.entry("GRANT_EXPIRED", "the patient's grant is over, or has not begun"),
          Map.entry("GRANT_INVALID", "the grant is not this patient's, or not for this doctor"),
          Map.entry("GRANT_MISSING", "there is no grant of the patient"),
          Map.entry("GRANT_REVOKED", "the patient took the grant back"),
          Map.entry("GRANT_SCOPE", "the patient's grant does not cover this"),
          Map.entry("IDENTITY_MISMATCH", "the message names two parties where it should name one"),
          Map.entry("INTERNAL", "something went wrong at the server"),
          Map.entry("INVALID_POINT", "a point of the message is none"),
          Map.entry("ISSUER_NONCE_REPEATED", "the public cloud issues no credentials until its issuing key is another"),
          Map.entry("ISSUER_REVOKED", "the key that issued the credential is revoked"),
          Map.entry("ISSUER_UNKNOWN", "the server does not know who issued the credential: its trust bundle may be older"),
          Map.entry("KEY_CONFIRMATION_FAILED", "the two sides do not hold the same key"),
          Map.entry("LIMIT_REACHED", "a bound of the server is reached: try again later, or with less"),
          Map.entry("MALFORMED_MESSAGE", "the message breaks a rule of its definition"),
          Map.entry("MESSAGE_REPLAYED", "the message was taken before"),
          Map.entry("MESSAGE_TOO_LARGE", "the message is too large for the server"),
          Map.entry("METHOD_NOT_SERVED", "the server does not serve this here"),
          Map.entry("MISSING_FIELD", "the message lacks a field"),
          Map.entry("NETWORK_FORBIDDEN", "the address lies in no network that may be dialled"),
          Map.entry("NOT_FOUND", "there is no such thing"),
          Map.entry("NOT_REGISTERED", "the server knows no live registration of this party"),
          Map.entry("NO_SUCH_RECORD", "there is no such record"),
          Map.entry("NO_SUCH_ROOM", "there is no such room, or it is closed"),
          Map.entry("OUT_OF_ORDER", "the message does not belong at this point"),
          Map.entry("PADDING_INVALID", "the message is not padded as it should be"),
          Map.entry("PROOF_INVALID", "a proof does not hold for the server"),
          Map.entry("READER_STALLED", "this side took what was sent too slowly"),
          Map.entry("RECORD_CUT_SHORT", "the content ended before its end"),
          Map.entry("RECORD_DIGEST_MISMATCH", "the content is not what was signed"),
          Map.entry("RECORD_ERASED", "the record was erased"),
          Map.entry("RECORD_TOO_LARGE", "the record has more than is taken here"),
          Map.entry("RECORD_WITHDRAWN", "the record is withdrawn"),
          Map.entry("REFUSED_BY_PEER", "the other side refused, and says no more than that"),
          Map.entry("REJECTED", "the server did not accept the message, and does not say why"),
          Map.entry("RENEWAL_NOT_DUE", "the credential is good: there is no need for another"),
          Map.entry("REVOCATION_LIST_STALE", "the server has no current revocation list"),
          Map.entry("ROLE_FORBIDDEN", "this is not for this role"),
          Map.entry("SEAL_INVALID", "the seal does not open for the server"),
          Map.entry("SESSION_EXPIRED", "the consultation's life is over"),
          Map.entry("SESSION_UNKNOWN", "the server knows no such session"),
          Map.entry("SIGNATURE_INVALID", "a signature does not hold for the server"),
          Map.entry("SILENT_STREAM", "nothing came in time"),
          Map.entry("STALE", "the message came too late, or this machine's clock is behind: compare clocks"),
          Map.entry("STORED_RECORD_CORRUPT", "what the server kept is damaged"),
          Map.entry("TICKET_INVALID", "the ticket is unknown, used, over, or somebody else's"),
          Map.entry("TIME_MISMATCH", "the message names two times"),
          Map.entry("UNAUTHENTICATED", "the server does not believe who sends this"),
          Map.entry("UNAUTHORIZED", "this party may not do that"),
          Map.entry("UNAVAILABLE", "the server can't be reached, or can't answer now"),
          Map.entry("UNKNOWN_FIELD", "the message has a field that the server does not know"),
          Map.entry("UNKNOWN_KEY_ID", "the message is sealed to a key that the server does not hold any more"),
          Map.entry("UNSUPPORTED_VERSION", "the server speaks another version of the protocol: update this program"));

  private Words() {}

  /** What the reason means, if it is one of the vocabulary. */
  static Optional<String> of(String reason) {
    return Optional.ofNullable(BY_REASON.get(reason));
  }
}
