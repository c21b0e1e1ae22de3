package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.Message;
import example.medunion.federation.v1.SignedStatement;
import java.io.IOException;
import java.io.UncheckedIOException;

/** Signatures over transcripts, and statements: exact bytes, signed under a label, parsed only after the signature holds. */
public final class Statements {
  private Statements() {}

  public static void verifySignature(byte[] verifyingKey, ByteString signature, byte[] signed) {
    boolean holds = Signatures.isSignature(verifyingKey, signature.toByteArray(), signed);
    Refusal.require(holds, "SIGNATURE_INVALID", "a signature does not hold");
  }

  /** Signs a statement over T(label, its bytes). */
  public static SignedStatement sign(String label, Message message, SigningKey key) {
    byte[] statement = serialised(message);
    byte[] signature = key.sign(Transcript.of(label).add(statement).bytes());
    return SignedStatement.newBuilder()
        .setStatement(ByteString.copyFrom(statement))
        .setSignature(ByteString.copyFrom(signature))
        .build();
  }

  /** Verifies a statement, then parses it. */
  public static <M extends Message> M open(
      String label, M type, SignedStatement signed, byte[] verifyingKey) {
    verifySignature(verifyingKey, signed.getSignature(), Transcript.of(label).add(signed.getStatement()).bytes());
    return Rules.parse(type, signed.getStatement().toByteArray());
  }

  /** Parses a statement whose signer is named inside. Nothing in it may be used before its signature is verified. */
  public static <M extends Message> M peek(M type, SignedStatement signed) {
    return Rules.parse(type, signed.getStatement().toByteArray());
  }

  /** H(Cert_D), or nothing where a patient asks: the field of a transcript. */
  static byte[] certificateDigest(ByteString certificate) {
    return certificate.isEmpty() ? Bytes.EMPTY : Bytes.sha256(certificate);
  }

  /** A message's bytes, once it holds its own rules; fields are written in the order of their numbers. */
  public static byte[] serialised(Message message) {
    Rules.check(message);
    byte[] data = new byte[message.getSerializedSize()];
    CodedOutputStream output = CodedOutputStream.newInstance(data);
    output.useDeterministicSerialization();
    try {
      message.writeTo(output);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return data;
  }
}
