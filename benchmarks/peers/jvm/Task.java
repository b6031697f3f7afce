import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The command line of every peer, as peer.py has it. */
public record Task(
    String bootstrap, String redisUrl, long redisPid, String prefix, List<String> topics, long events, long warm,
    boolean isTuned, String folder) implements java.io.Serializable {

    static Task read(String[] words) {
        Map<String, List<String>> options = new HashMap<>();
        for (int at = 0; at < words.length;) {
            int end = at + 1;
            while (end < words.length && !words[end].startsWith("--")) end++;
            options.put(words[at], List.of(words).subList(at + 1, end));
            at = end;
        }
        return new Task(
            options.get("--bootstrap").get(0), options.get("--redis-url").get(0),
            Long.parseLong(options.get("--redis-pid").get(0)), options.get("--prefix").get(0),
            List.copyOf(options.get("--topics")), Long.parseLong(options.get("--events").get(0)),
            Long.parseLong(options.get("--warm").get(0)), options.get("--way").get(0).equals("tuned"),
            options.get("--folder").get(0));
    }

    String changes() {
        return prefix + ".changes";
    }
}
