package example.medunion.client.keys;

import example.medunion.client.protocol.Refusal;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;
import java.util.function.Consumer;

/** Files of mode 0600, on disk when a method returns. */
public final class PrivateFiles {
  private static final Set<PosixFilePermission> OURS = PosixFilePermissions.fromString("rw-------");

  private PrivateFiles() {}

  /** Writes a new file; what is there already is no place for it. */
  public static void writeNew(Path path, byte[] content) {
    Set<StandardOpenOption> options = Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    try (FileChannel file = FileChannel.open(path, options, PosixFilePermissions.asFileAttribute(OURS))) {
      ByteBuffer left = ByteBuffer.wrap(content);
      while (left.hasRemaining()) {
        file.write(left);
      }
      file.force(true);
    } catch (FileAlreadyExistsException error) {
      throw new Refusal("ALREADY_EXISTS", path + " is there already", error);
    } catch (IOException error) {
      delete(path); // half a file is none
      throw new UncheckedIOException(error);
    }
    sync(path);
  }

  /** Makes a directory, mode 0700, that is there with all its files or not at all: what stopped half-way can be tried again. */
  public static void makeDirectory(Path directory, Consumer<Path> fill) {
    Path partial = directory.resolveSibling(directory.getFileName() + "." + ProcessHandle.current().pid());
    Refusal.require(!Files.exists(directory), "ALREADY_EXISTS", directory + " is there already");
    try {
      deleteTree(partial); // left by a process that died
      Files.createDirectory(partial, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      try {
        fill.accept(partial);
        Files.move(partial, directory, StandardCopyOption.ATOMIC_MOVE);
      } finally {
        deleteTree(partial);
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    sync(directory);
  }

  /** Removes a file, if it is there. */
  public static void delete(Path path) {
    try {
      Files.deleteIfExists(path);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static void deleteTree(Path directory) throws IOException {
    if (Files.exists(directory)) {
      try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
        files.forEach(PrivateFiles::delete);
      }
      Files.delete(directory);
    }
  }

  /** Puts a file in place, whole; what was there gives way. */
  public static void replace(Path path, byte[] content) {
    Path partial = path.resolveSibling(path.getFileName() + "." + ProcessHandle.current().pid());
    try {
      // Left by a process that died: it had this number, so it is none of those that run.
      Files.deleteIfExists(partial);
      writeNew(partial, content);
      Files.move(partial, path, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    sync(path);
  }

  /** Reads a file that others may not read. */
  public static byte[] read(Path path) {
    try {
      boolean ours = OURS.containsAll(Files.getPosixFilePermissions(path));
      Refusal.require(ours, "FILE_NOT_PRIVATE", "others may read " + path + "; give it mode 0600");
      return Files.readAllBytes(path);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** Reads the PIN of such a file. */
  static String readPin(Path path) {
    String pin = new String(read(path), StandardCharsets.UTF_8).stripTrailing();
    Refusal.require(!pin.isEmpty(), "PIN_INCORRECT", path + " holds no PIN");
    return pin;
  }

  private static void sync(Path path) {
    try (FileChannel directory = FileChannel.open(path.toAbsolutePath().getParent())) {
      directory.force(true);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
