package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import example.medunion.federation.v1.FieldRule;
import example.medunion.federation.v1.Kind;
import example.medunion.federation.v1.PayloadRule;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * Strict parsing of messages by the rules in their own definitions (protos/federation/v1/rules.proto), read from the descriptors: a
 * missing field is refused unless its rule says that it may be absent, an unknown one at any depth, a size or form that does not hold,
 * and a point that no honest peer sends (B6).
 */
public final class Rules {
  private static final String NAME = "[A-Za-z0-9._-]{1,64}";
  private static final String LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
  private static final String CLASS = "[a-z][a-z0-9-]{0,31}";

  /** The last millisecond of the year 9999 (RFC 3339): no later one is a time, in any field. */
  public static final long LAST_TIME = 253_402_300_799_999L;

  private static final Map<Kind, Predicate<String>> FORMS =
      Map.ofEntries(
          form(Kind.KIND_PATIENT_ID, "P:" + NAME),
          form(Kind.KIND_DOCTOR_ID, "D:" + NAME),
          form(Kind.KIND_HOSPITAL_ID, "H:" + LABEL),
          form(Kind.KIND_CLOUD_ID, "C:" + LABEL),
          form(Kind.KIND_AUTHORITY_ID, "M:" + NAME),
          form(Kind.KIND_PARTY_ID, "[PD]:" + NAME + "|[HC]:" + LABEL),
          form(Kind.KIND_DEPARTMENT_CLASS, CLASS),
          form(Kind.KIND_DEPARTMENT_CLASS_OR_ANY, CLASS + "|\\*"),
          form(Kind.KIND_DEPARTMENT_ID, "H:" + LABEL + "/" + CLASS + "(\\.[a-z0-9-]{1,32})?"),
          form(Kind.KIND_HOSPITAL_ID_OR_ANY, "H:" + LABEL + "|\\*"),
          Map.entry(Kind.KIND_ADDRESS, Addresses::isAddress),
          form(Kind.KIND_DOCTOR_SCOPE, "D:" + NAME + "|D:[A-Za-z0-9._-]{0,63}\\*"));

  private static final Map<Kind, Set<Integer>> SIZES =
      Map.of(
          Kind.KIND_POINT, Set.of(Curve.POINT_BYTES),
          Kind.KIND_REGISTRATION_POINT, Set.of(Curve.POINT_BYTES),
          Kind.KIND_SIGNATURE, Set.of(64),
          Kind.KIND_DIGEST, Set.of(32),
          Kind.KIND_ID16, Set.of(16),
          Kind.KIND_SESSION_ID, Set.of(0, 16),
          Kind.KIND_BYTES32, Set.of(32),
          Kind.KIND_VERIFYING_KEY, Set.of(Curve.VERIFYING_KEY_BYTES),
          Kind.KIND_ENCAPSULATION_KEY, Set.of(Hpke.ENCRYPTION_KEY_BYTES));

  private Rules() {}

  /** Parses a payload or statement of this type, and checks it by its rules. */
  @SuppressWarnings("unchecked") // a message's own parser gives messages of its type
  public static <M extends Message> M parse(M type, byte[] data) {
    String name = type.getDescriptorForType().getName();
    int limit = payloadRule(type.getDescriptorForType()).getMaxSize();
    require(limit == 0 || data.length <= limit, "MESSAGE_TOO_LARGE", name + " has " + data.length + " bytes");
    try {
      return check(((Parser<M>) type.getParserForType()).parseFrom(data));
    } catch (InvalidProtocolBufferException error) {
      throw new Refusal("MALFORMED_MESSAGE", "not a " + name, error);
    }
  }

  /** Checks a parsed message by its rules, at every depth. */
  public static <M extends Message> M check(M message) {
    return check(message, Unknown.REFUSED);
  }

  /** Checks an answer of an RPC: as {@link #check}, but it may have gained fields since this client was made (docs/protocol.md, 1). */
  public static <M extends Message> M checkOuter(M answer) {
    return check(answer, Unknown.PASSED);
  }

  /** What becomes of a field that the definition at hand does not have. */
  private enum Unknown {
    REFUSED,
    PASSED
  }

  private static <M extends Message> M check(M message, Unknown unknown) {
    String name = message.getDescriptorForType().getName();
    boolean known = unknown == Unknown.PASSED || message.getUnknownFields().asMap().isEmpty();
    require(known, "UNKNOWN_FIELD", name + " has a field that its definition does not have");
    message.getDescriptorForType().getFields().forEach(field -> checkField(message, field, unknown));
    return message;
  }

  /** The rule of a sealed payload. */
  public static PayloadRule payloadRule(Descriptor type) {
    return type.getOptions().getExtension(example.medunion.federation.v1.Rules.payload);
  }

  /** How many bytes a field has at most. */
  public static int mostBytes(Descriptor type, String field) {
    return ruleOf(type.findFieldByName(field)).getMaxSize();
  }

  /** Whether the text has the form of that kind. */
  public static boolean hasForm(Kind kind, String value) {
    return FORMS.get(kind).test(value);
  }

  private static FieldRule ruleOf(FieldDescriptor field) {
    return field.getOptions().getExtension(example.medunion.federation.v1.Rules.rule);
  }

  private static void checkField(Message message, FieldDescriptor field, Unknown unknown) {
    FieldRule rule = ruleOf(field);
    if (field.isRepeated()) {
      List<?> elements = (List<?>) message.getField(field);
      require(elements.size() <= rule.getMaxItems(), "FIELD_INVALID", field.getFullName() + " has too many elements");
      elements.forEach(element -> checkValue(field, rule, element, unknown));
    } else if (message.hasField(field)) {
      checkValue(field, rule, message.getField(field), unknown);
    } else {
      // Presence in a oneof is the oneof's affair.
      boolean absent = rule.getMayBeAbsent() || field.getRealContainingOneof() != null;
      require(absent, "MISSING_FIELD", field.getFullName() + " is missing");
    }
  }

  private static void checkValue(FieldDescriptor field, FieldRule rule, Object value, Unknown unknown) {
    if (value instanceof Message message) {
      check(message, unknown);
    } else if (value instanceof EnumValueDescriptor entry) {
      boolean known = entry.getNumber() != 0 && entry.getIndex() >= 0;
      require(known, "FIELD_INVALID", field.getFullName() + " has a value that its definition does not have");
    } else if (value instanceof String text) {
      boolean ascii = text.chars().allMatch(character -> character < 128);
      require(ascii, "FIELD_INVALID", field.getFullName() + " is not ASCII");
      checkSize(field, rule, text.length());
      Predicate<String> form = FORMS.get(rule.getKind());
      boolean fits = form == null || form.test(text);
      require(fits, "FIELD_INVALID", field.getFullName() + " has not the form of its kind");
    } else if (value instanceof ByteString bytes) {
      checkSize(field, rule, bytes.size());
      checkPoint(rule.getKind(), bytes.toByteArray());
    } else if (value instanceof Long time && rule.getKind() == Kind.KIND_TIME) {
      boolean dated = Long.compareUnsigned(time, LAST_TIME) <= 0;
      require(dated, "FIELD_INVALID", field.getFullName() + " is later than the year 9999");
    }
  }

  private static void checkPoint(Kind kind, byte[] encoded) {
    switch (kind) {
      case KIND_POINT -> Curve.pointOver(encoded);
      case KIND_REGISTRATION_POINT -> Curve.registrationPointOver(encoded);
      case KIND_VERIFYING_KEY -> Curve.verifyingKey(encoded);
      default -> {} // no other kind is a point
    }
  }

  private static void checkSize(FieldDescriptor field, FieldRule rule, int size) {
    boolean bounded = rule.getMaxSize() == 0 || size <= rule.getMaxSize();
    require(bounded, "MESSAGE_TOO_LARGE", field.getFullName() + " has " + size + " bytes");
    boolean sized = SIZES.getOrDefault(rule.getKind(), Set.of(size)).contains(size);
    require(sized, "FIELD_INVALID", field.getFullName() + " has " + size + " bytes");
  }

  private static Map.Entry<Kind, Predicate<String>> form(Kind kind, String form) {
    return Map.entry(kind, Pattern.compile(form).asMatchPredicate());
  }
}
