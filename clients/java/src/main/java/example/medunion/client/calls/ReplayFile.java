package example.medunion.client.calls;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.ReplayMemory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** `replay.json` of a doctor's home: on disk before anything is answered. */
final class ReplayFile {
  private static final String FILE = "replay.json";
  private static final TypeToken<Map<String, Long>> TAKEN = new TypeToken<>() {};

  private ReplayFile() {}

  static ReplayMemory read(Path directory) {
    Path path = directory.resolve(FILE);
    if (!Files.exists(path)) {
      return new ReplayMemory(Map.of());
    }
    return new ReplayMemory(new Gson().fromJson(new String(PrivateFiles.read(path), StandardCharsets.UTF_8), TAKEN));
  }

  static void write(Path directory, ReplayMemory memory) {
    PrivateFiles.replace(directory.resolve(FILE), new Gson().toJson(memory.taken()).getBytes(StandardCharsets.UTF_8));
  }
}
