package example.medunion.client.calls;

import com.google.gson.Gson;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.BundleLease;
import example.medunion.client.protocol.Lists;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Statements;
import example.medunion.client.protocol.TrustedBundle;
import example.medunion.federation.v1.RevocationHead;
import example.medunion.federation.v1.SignedStatement;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** `state.json`: what a home keeps in the clear, byte strings in base64. */
final class HomeState {
  private static final String FILE = "state.json";

  String identity;
  String bundle;
  long bundleConfirmedAt;
  /** The EK_X that is announced. */
  String encryptionKeyStatement;
  /** An EK_X that is made and not acknowledged yet, or null. */
  String nextEncryptionKeyStatement;
  /** Those that were announced or sent before, and still open. */
  List<String> formerEncryptionKeyStatements = new ArrayList<>();
  String keyStatement;
  String certificate;
  String revocationHead;
  List<String> crls;

  /** The latest moment at which a list was used though it was over, and its number; null for none. */
  LateList lateList;
  /** The consents that were given from here, in the order of giving: a patient's numbers for them count from 1. */
  List<String> grants = new ArrayList<>();

  /** The newest heads of logs that were checked, by whose they are. */
  Map<String, String> knownLogs = new TreeMap<>();
  /** Pairs of heads of which the second does not follow the first: evidence. */
  List<List<String>> logForks = new ArrayList<>();

  record LateList(long sequence, long usedAt) {}

  static boolean exists(Path directory) {
    return Files.exists(directory.resolve(FILE));
  }

  static HomeState read(Path directory) {
    try {
      return new Gson().fromJson(Files.readString(directory.resolve(FILE)), HomeState.class);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  void write(Path directory) {
    PrivateFiles.replace(directory.resolve(FILE), new Gson().toJson(this).getBytes(StandardCharsets.UTF_8));
  }

  /** Whether neither the bundle nor the head that are kept are newer than these. */
  boolean isOlderThan(TrustedBundle newest, Lists lists) {
    long listed =
        revocationHead == null
            ? 0
            : Statements.peek(RevocationHead.getDefaultInstance(), statement(revocationHead)).getSequence();
    boolean bundled = TrustedBundle.sequenceOf(statement(bundle)) <= newest.sequence();
    return bundled && listed <= lists.head().getSequence();
  }

  /** Keeps a bundle, and the lists that came with it. */
  void learn(BundleLease lease, SignedStatement head, List<ByteString> lists) {
    bundle = base64(lease.bundle().signed());
    bundleConfirmedAt = lease.confirmedAt();
    revocationHead = base64(head);
    crls = lists.stream().map(crl -> Base64.getEncoder().encodeToString(crl.toByteArray())).toList();
  }

  static String base64(SignedStatement statement) {
    return base64(statement.toByteArray());
  }

  static String base64(byte[] data) {
    return Base64.getEncoder().encodeToString(data);
  }

  static SignedStatement statement(String encoded) {
    try {
      return SignedStatement.parseFrom(Base64.getDecoder().decode(encoded));
    } catch (InvalidProtocolBufferException error) {
      throw new Refusal("PROFILE_UNUSABLE", "the home directory's state is damaged", error);
    }
  }
}
