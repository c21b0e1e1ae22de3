package example.medunion.client.protocol;

/** A payload that was under a seal, and its exact bytes: what H(p1 plaintext) and its like cover. */
public record Opened<M>(M payload, byte[] plaintext) {}
