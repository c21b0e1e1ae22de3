package example.medunion.client.keys;

import static org.junit.jupiter.api.Assertions.assertEquals;

import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Vectors;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class KeyFileTest extends KeysContract {
  @Override
  Keys create(Path root) {
    PrivateFiles.writeNew(root.resolve("pin"), Bytes.text("a PIN of this test\n"));
    return KeyFile.create(root.resolve("keys.sealed"), root.resolve("pin"), ENTROPY);
  }

  @Override
  Keys open(Path root) {
    return KeyFile.open(root.resolve("keys.sealed"), root.resolve("pin"));
  }

  @Test
  void anotherPinOpensNothing() {
    create(root);
    PrivateFiles.replace(root.resolve("pin"), Bytes.text("another PIN"));
    assertEquals("PIN_INCORRECT", Vectors.outcome(() -> open(root)));
    PrivateFiles.replace(root.resolve("pin"), Bytes.text("\n"));
    assertEquals("PIN_INCORRECT", Vectors.outcome(() -> open(root)));
  }
}
