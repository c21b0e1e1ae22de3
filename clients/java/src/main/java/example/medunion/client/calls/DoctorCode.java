package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.client.protocol.Rules;
import example.medunion.federation.v1.Kind;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The doctor's code: what the patient scans, or types, to reach one doctor and nobody else (X13, B4):
 * {@code medunion://<host:port>/<hospital label>/<room>/<digest>}. Room (16 bytes) and digest (32 bytes) are base64url without padding; there
 * is one spelling.
 */
public record DoctorCode(String address, String hospitalId, byte[] roomId, byte[] digest) {
  private static final Pattern FORM =
      Pattern.compile("medunion://([^/]+)/([^/]+)/([A-Za-z0-9_-]{22})/([A-Za-z0-9_-]{43})");

  /** Reads a code; white space around it is no part of it. */
  public static DoctorCode parse(String written) {
    Matcher match = FORM.matcher(written.strip());
    require(match.matches(), "CODE_INVALID", "a doctor's code reads medunion://address/hospital/room/digest");
    Base64.Decoder decoder = Base64.getUrlDecoder();
    DoctorCode code =
        new DoctorCode(match.group(1), "H:" + match.group(2), decoder.decode(match.group(3)), decoder.decode(match.group(4)));
    boolean wellFormed =
        Rules.hasForm(Kind.KIND_ADDRESS, code.address) && Rules.hasForm(Kind.KIND_HOSPITAL_ID, code.hospitalId);
    require(wellFormed && code.written().equals(written.strip()), "CODE_INVALID", "the doctor's code is damaged");
    return code;
  }

  /** Writes it. */
  public String written() {
    Base64.Encoder encoder = Base64.getUrlEncoder().withoutPadding();
    return String.join(
        "/",
        "medunion:/",
        address,
        hospitalId.substring(2),
        encoder.encodeToString(roomId),
        encoder.encodeToString(digest));
  }
}
