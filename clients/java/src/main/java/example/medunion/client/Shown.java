package example.medunion.client;

/**
 * The one way of texts to a terminal: what a peer wrote can't move its cursor, name its window or turn the direction of writing, and is not
 * without end.
 */
final class Shown {
  private static final int MOST_CHARACTERS = 4000;

  private Shown() {}

  /** A text as one line, with nothing in it but what can be seen. */
  static String line(String text) {
    StringBuilder shown = new StringBuilder();
    text.codePoints().limit(MOST_CHARACTERS).forEach(point -> shown.appendCodePoint(isVisible(point) ? point : ' '));
    return shown.toString();
  }

  /** A JSON text that means the same, in which whatever can't be seen is escaped. */
  static String json(String encoded) {
    StringBuilder shown = new StringBuilder();
    encoded.codePoints().forEach(point -> shown.append(isVisible(point) ? Character.toString(point) : escaped(point)));
    return shown.toString();
  }

  private static boolean isVisible(int point) {
    return switch (Character.getType(point)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      default -> true;
    };
  }

  private static String escaped(int point) {
    StringBuilder escaped = new StringBuilder();
    for (char unit : Character.toChars(point)) {
      escaped.append(String.format("\\u%04x", (int) unit));
    }
    return escaped.toString();
  }
}
