package example.medunion.client.calls;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/** One process at a time changes a home. The system lets go of the lock when its holder ends, however that goes. */
final class HomeLock {
  private static final Set<StandardOpenOption> OPTIONS = Set.of(StandardOpenOption.CREATE, StandardOpenOption.WRITE);
  private static final FileAttribute<?> OURS =
      PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));

  private HomeLock() {}

  /** Waits until nobody else holds a home's lock, and runs the change under it. Not within another one. */
  static void holding(Path directory, Runnable change) {
    try (FileChannel file = FileChannel.open(directory.resolve("lock"), OPTIONS, OURS)) {
      file.lock();
      change.run();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
