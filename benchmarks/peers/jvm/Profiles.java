import java.net.URI;
import java.util.HashMap;
import java.util.Map;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/** Writes profiles with Jedis: each and wait, or coalesced for 0.25 s as one pipeline. One a thread. */
public final class Profiles {
    private static final long COMMIT_NS = 250_000_000;
    private final String key;
    private final Meter meter;
    private final Jedis client;
    private final boolean coalesce;
    private final Map<String, Work> waiting = new HashMap<>();
    private long taken, dueNs = System.nanoTime() + COMMIT_NS;

    Profiles(Task task) {
        key = task.prefix() + ":user:";
        meter = Meter.of(task);
        client = new Jedis(URI.create(task.redisUrl()));
        coalesce = task.isTuned();
    }

    void keep(String userId, Work work) {
        if (!coalesce) {
            client.hset(key + userId, work.profile());
            meter.took(1);
            return;
        }
        waiting.put(userId, work);
        taken++;
        if (taken % 256 == 0) flushWhenDue();
    }

    /** Write what waits; to be called from time to time also when nothing comes. */
    void flushWhenDue() {
        if (taken == 0 || System.nanoTime() < dueNs) return;
        try (Pipeline pipeline = client.pipelined()) {
            waiting.forEach((userId, work) -> pipeline.hset(key + userId, work.profile()));
        }
        meter.took(taken);
        waiting.clear();
        taken = 0;
        dueNs = System.nanoTime() + COMMIT_NS;
    }
}
