package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import java.util.ArrayList;
import java.util.List;

/** The tree of a log: hashes and proofs (RFC 9162, section 2.1; docs/protocol.md, 8, Tree). Sizes are up to 2^63 - 1. */
public final class Merkle {
  static final byte[] EMPTY_ROOT = Bytes.sha256(Bytes.EMPTY);

  private static final int HASH_BYTES = 32;
  private static final byte[] LEAF = {0};
  private static final byte[] NODE = {1};
  private static final String REASON = "LOG_PROOF_INVALID";

  private Merkle() {}

  /** A tree as one number and one hash: how many leaves it has, and its root. */
  public record TreeHead(long size, byte[] root) {}

  /** The hash of a leaf: SHA-256(0x00 || data). */
  public static byte[] leafHash(byte[] data) {
    return Bytes.sha256(Bytes.concat(LEAF, data));
  }

  private static byte[] nodeHash(byte[] left, byte[] right) {
    return Bytes.sha256(Bytes.concat(NODE, left, right));
  }

  /** Refuses unless a tree of this size and root has this leaf, its hash, at that place (RFC 9162, section 2.1.3.2). */
  public static void requireIncluded(byte[] leaf, long index, long size, List<byte[]> proof, byte[] root) {
    require(0 <= index && index < size, REASON, "the tree has no leaf of that number"); // incl.1
    requireHashes(List.of(leaf, root)); // incl.2
    requireHashes(proof); // incl.2
    Way way = new Way(index, size - 1);
    byte[] found = leaf;
    for (byte[] beside : proof) {
      found = way.isLeftNext() ? nodeHash(beside, found) : nodeHash(found, beside); // incl.3
    }
    way.requireEnded(); // incl.3
    require(Bytes.equal(found, root), REASON, "the leaf is not in the tree at that place"); // incl.4
  }

  /** Refuses unless the new tree begins with all of the old one (RFC 9162, section 2.1.4.2). */
  public static void requireConsistent(TreeHead before, TreeHead after, List<byte[]> proof) {
    require(0 <= before.size && before.size <= after.size, REASON, "a tree does not shrink"); // cons.1
    requireHashes(List.of(before.root, after.root)); // cons.2
    requireHashes(proof); // cons.2
    for (TreeHead tree : List.of(before, after)) {
      boolean isTree = tree.size > 0 || Bytes.equal(tree.root, EMPTY_ROOT);
      require(isTree, REASON, "the root of nothing is another"); // cons.3
    }
    if (before.size == 0 || before.size == after.size) {
      require(proof.isEmpty(), REASON, "nothing is to be proved, and something is shown"); // cons.4
      boolean same = before.size == 0 || Bytes.equal(before.root, after.root);
      require(same, REASON, "two roots of one size"); // cons.4
      return;
    }
    List<byte[]> path = new ArrayList<>(proof);
    if (Long.bitCount(before.size) == 1) {
      path.add(0, before.root); // the old tree is itself the subtree that both share
    }
    require(!path.isEmpty(), REASON, "the proof is empty"); // cons.5
    Way way = Way.fromEdge(before.size - 1, after.size - 1);
    byte[] old = path.get(0);
    byte[] latest = old;
    for (byte[] beside : path.subList(1, path.size())) {
      if (way.isLeftNext()) { // cons.5
        old = nodeHash(beside, old);
        latest = nodeHash(beside, latest);
      } else {
        latest = nodeHash(latest, beside);
      }
    }
    way.requireEnded(); // cons.5
    boolean begins = Bytes.equal(old, before.root) && Bytes.equal(latest, after.root);
    require(begins, REASON, "the new tree does not begin with the old one"); // cons.6
  }

  /** The way from a place up to the root: on which side each next hash of a proof stands. */
  private static final class Way {
    private long place;
    private long last;

    Way(long place, long last) {
      this.place = place;
      this.last = last;
    }

    /** From the right edge of an old tree: from its last complete subtree. */
    static Way fromEdge(long place, long last) {
      int complete = Long.numberOfTrailingZeros(~place);
      return new Way(place >> complete, last >> complete);
    }

    /** Goes up by one hash. Refuses where the root is reached. */
    boolean isLeftNext() {
      require(last != 0, REASON, "the proof is longer than the way up");
      boolean isLeft = (place & 1) == 1 || place == last;
      if (isLeft && place != 0) {
        rise(Long.numberOfTrailingZeros(place)); // on the way there is nothing beside it
      }
      rise(1);
      return isLeft;
    }

    void requireEnded() {
      require(last == 0, REASON, "the proof is shorter than the way up");
    }

    private void rise(int levels) {
      place >>= levels;
      last >>= levels;
    }
  }

  private static void requireHashes(List<byte[]> hashes) {
    boolean formed = hashes.stream().allMatch(hash -> hash.length == HASH_BYTES);
    require(formed, REASON, "a hash has 32 bytes");
  }
}
