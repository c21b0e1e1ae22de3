package example.medunion.client.protocol;

import java.util.regex.Pattern;

/**
 * The grammar of KIND_ADDRESS: `host:port` and nothing that a resolver would take for another scheme. It is decided by the text alone: no name
 * is looked up.
 */
public final class Addresses {
  private static final int LONGEST_NAME = 253;
  private static final int IPV6_GROUPS = 8;
  private static final Pattern PORT = Pattern.compile("[1-9][0-9]{0,4}");
  // RFC 1123; the last label begins with a letter, so that no name reads as an IPv4 address.
  private static final Pattern NAME =
      Pattern.compile("(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?");
  private static final String OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
  private static final Pattern IPV4 = Pattern.compile(OCTET + "(?:\\." + OCTET + "){3}");
  private static final Pattern GROUP = Pattern.compile("[0-9A-Fa-f]{1,4}");

  private Addresses() {}

  public static boolean isAddress(String text) {
    int colon = text.lastIndexOf(':');
    return colon >= 0 && isHost(text.substring(0, colon)) && isPort(text.substring(colon + 1));
  }

  /** An IPv4 address without leading zeros (RFC 6943, 3.1.1). */
  public static boolean isIpv4(String text) {
    return IPV4.matcher(text).matches();
  }

  /** An IPv6 address (RFC 4291, 2.2), without a zone. */
  public static boolean isIpv6(String text) {
    int gap = text.indexOf("::");
    if (gap < 0) {
      return groups(text) == IPV6_GROUPS;
    }
    String before = text.substring(0, gap);
    String after = text.substring(gap + 2);
    boolean hexadecimal = !before.contains(".");
    boolean formed = (before.isEmpty() || groups(before) > 0) && (after.isEmpty() || groups(after) > 0);
    return hexadecimal && formed && groups(before) + groups(after) < IPV6_GROUPS;
  }

  private static boolean isHost(String host) {
    if (host.startsWith("[") && host.endsWith("]")) {
      return isIpv6(host.substring(1, host.length() - 1));
    }
    return isIpv4(host) || (host.length() <= LONGEST_NAME && NAME.matcher(host).matches());
  }

  private static boolean isPort(String port) {
    return PORT.matcher(port).matches() && Integer.parseInt(port) < 1 << 16;
  }

  /** How many groups of 16 bits the text holds, an IPv4 address at its end being two; 0 if it holds anything else. */
  private static int groups(String text) {
    String[] parts = text.split(":", -1);
    boolean mixed = isIpv4(parts[parts.length - 1]);
    int hexadecimal = mixed ? parts.length - 1 : parts.length;
    for (int index = 0; index < hexadecimal; index++) {
      if (!GROUP.matcher(parts[index]).matches()) {
        return 0;
      }
    }
    return mixed ? hexadecimal + 2 : hexadecimal;
  }
}
