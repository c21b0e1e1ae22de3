package example.medunion.client.protocol;

import example.medunion.federation.v1.SignedStatement;

/** Somebody's encryption key of the epoch, verified: PUK_kem, and its key id. */
public record EncryptionKey(String owner, byte[] keyId, byte[] encryptionKey, SignedStatement statement) {}
