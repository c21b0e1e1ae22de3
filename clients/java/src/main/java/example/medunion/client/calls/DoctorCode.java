package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Rules;
import example.medunion.federation.v1.Kind;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The doctor's code: what the patient scans, or types, to reach one doctor and nobody else (X13, B4):
 * {@code medunion://<host:port>/<hospital label>/<room>/<digest>/<check>}. Room (16 bytes), digest (32 bytes) and check (3 bytes, of the
 * SHA-256 of all before its slash) are base64url without padding; there is one spelling, and what is mistyped is refused before anybody is
 * dialled.
 */
public record DoctorCode(String address, String hospitalId, byte[] roomId, byte[] digest) {
  private static final int CHECK_BYTES = 3;
  private static final Pattern FORM =
      Pattern.compile("medunion://([^/]+)/([^/]+)/([A-Za-z0-9_-]{22})/([A-Za-z0-9_-]{43})/[A-Za-z0-9_-]{4}");

  /** Reads a code; white space around it is no part of it. */
  public static DoctorCode parse(String written) {
    Matcher match = FORM.matcher(written.strip());
    require(match.matches(), "CODE_INVALID", "a doctor's code reads medunion://address/hospital/room/digest/check");
    Base64.Decoder decoder = Base64.getUrlDecoder();
    DoctorCode code =
        new DoctorCode(match.group(1), "H:" + match.group(2), decoder.decode(match.group(3)), decoder.decode(match.group(4)));
    boolean wellFormed =
        Rules.hasForm(Kind.KIND_ADDRESS, code.address) && Rules.hasForm(Kind.KIND_HOSPITAL_ID, code.hospitalId);
    require(wellFormed && code.written().equals(written.strip()), "CODE_INVALID", "the doctor's code is mistyped or damaged");
    return code;
  }

  /** Writes it. */
  public String written() {
    Base64.Encoder encoder = Base64.getUrlEncoder().withoutPadding();
    String text =
        String.join(
            "/",
            "medunion:/",
            address,
            hospitalId.substring(2),
            encoder.encodeToString(roomId),
            encoder.encodeToString(digest));
    byte[] check = Arrays.copyOf(Bytes.sha256(text.getBytes(StandardCharsets.US_ASCII)), CHECK_BYTES);
    return text + "/" + encoder.encodeToString(check);
  }
}
