package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.OwnDocument;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.Scope;
import example.medunion.federation.v1.Sensitivity;
import java.nio.charset.StandardCharsets;

/** A patient's own document, OWN: what its author, the patient or a deputy, signs for one hospital (docs/protocol.md, section 6). */
public final class OwnDocuments {
  private OwnDocuments() {}

  /** What a patient, or a deputy, adds to the patient's record. The media type is as its author says. */
  public record New(String title, String mediaType, byte[] content, Sensitivity sensitivity) {}

  /** A document as its author signed it. The same message again gets the same receipt. */
  public record Signed(OwnDocument message, byte[] content) {}

  /** Signs a document for this hospital. `blind` is rho, 32 random bytes. Refuses with LIMIT_REACHED. */
  public static Signed sign(
      Party author, New written, ShownAccess shown, String hospitalId, String department, byte[] blind, long now) {
    if (written.content().length > Consultation.MOST_BIOSIGNAL_BYTES) {
      throw new Refusal("LIMIT_REACHED", "the document is too long");
    }
    Scope.Builder scope = Scope.newBuilder().setPurpose(Purpose.PURPOSE_ADD).setDepartmentClass(department);
    OwnDocument.Builder own =
        OwnDocument.newBuilder()
            .setPatientId(shown.patientId())
            .setAuthorId(author.identity())
            .setSentAt(now)
            .setBlind(ByteString.copyFrom(blind))
            .setScope(scope)
            .setAccess(shown.access())
            .setTitle(ByteString.copyFrom(written.title(), StandardCharsets.UTF_8))
            .setMediaType(written.mediaType())
            .setSensitivity(written.sensitivity())
            .setSizeBytes(written.content().length)
            .setContentDigest(ByteString.copyFrom(Bytes.sha256(written.content())))
            .setWrittenAt(now);
    byte[] signature = author.signingKey().sign(covered(own, shown, hospitalId));
    return new Signed(own.setSignature(ByteString.copyFrom(signature)).build(), written.content());
  }

  private static byte[] covered(OwnDocument.Builder own, ShownAccess shown, String hospitalId) {
    return Transcript.of("own")
        .add(hospitalId)
        .add(own.getPatientId())
        .add(own.getAuthorId())
        .add(own.getScope().getDepartmentClass())
        .add(shown.digest())
        .add(own.getTitle().toByteArray())
        .add(own.getMediaType())
        .add(word(own.getSensitivity()))
        .add(own.getSizeBytes())
        .add(own.getContentDigest().toByteArray())
        .add(own.getWrittenAt())
        .bytes();
  }

  private static String word(Sensitivity sensitivity) {
    return switch (sensitivity) {
      case SENSITIVITY_NORMAL -> "normal";
      case SENSITIVITY_RESTRICTED -> "restricted";
      case SENSITIVITY_SECRET -> "secret";
      default -> throw new IllegalArgumentException("no sensitivity");
    };
  }
}
