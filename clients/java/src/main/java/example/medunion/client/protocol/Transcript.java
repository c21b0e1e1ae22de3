package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.SignedStatement;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * The transcript encoding T (docs/protocol.md, 1): what is signed, hashed, and bound as HPKE info or associated data. It is only ever
 * produced; nothing parses it, and serialised protobuf is never signed in its place. Fields are added in the order of that page.
 */
public final class Transcript {
  private static final byte[] DOMAIN = Bytes.concat(Bytes.text("medunion/v1"), new byte[1]);

  private final ByteArrayOutputStream encoded = new ByteArrayOutputStream();

  private Transcript(String label) {
    encoded.writeBytes(DOMAIN);
    add(Bytes.text(label));
  }

  /** Begins T(label, ...). */
  public static Transcript of(String label) {
    return new Transcript(label);
  }

  public Transcript add(byte[] field) {
    encoded.writeBytes(field(field));
    return this;
  }

  public Transcript add(ByteString field) {
    return add(field.toByteArray());
  }

  public Transcript add(String text) {
    return add(Bytes.text(text));
  }

  public Transcript add(long integer) {
    return add(Bytes.u64(integer));
  }

  public byte[] bytes() {
    return encoded.toByteArray();
  }

  /** SHA-256 of it. */
  public byte[] digest() {
    return Bytes.sha256(bytes());
  }

  /** F(x) = u32be(len x) || x. */
  public static byte[] field(byte[] value) {
    return Bytes.concat(ByteBuffer.allocate(Integer.BYTES).putInt(value.length).array(), value);
  }

  /** A list as one field: u32be(n) || F(e1) || ... */
  public static byte[] listing(List<byte[]> elements) {
    ByteArrayOutputStream list = new ByteArrayOutputStream();
    list.writeBytes(ByteBuffer.allocate(Integer.BYTES).putInt(elements.size()).array());
    elements.forEach(element -> list.writeBytes(field(element)));
    return list.toByteArray();
  }

  /** H of a statement: SHA-256(T(name, its bytes)), without its signature. */
  public static byte[] statementDigest(String label, SignedStatement signed) {
    return of(label).add(signed.getStatement()).digest();
  }

  /** Hs of a statement: SHA-256(T("signed", name, its bytes, its signature)). */
  public static byte[] signedDigest(String label, SignedStatement signed) {
    return of("signed").add(label).add(signed.getStatement()).add(signed.getSignature()).digest();
  }
}
