import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams: a source of both topics, a processor with a RocksDB store, a sink.
 *
 * As taught: a persistent store with its changelog, each profile written as it changes, at least once.
 * Tuned: the store caches (64 MB), no changelog, 20,000 records a poll, profiles coalesced.
 */
public final class KafkaStreamsPeer implements Processor<String, byte[], String, byte[]> {
    private final Task task;
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> users;
    private Profiles profiles;

    private KafkaStreamsPeer(Task task) {
        this.task = task;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> given) {
        context = given;
        users = given.getStateStore("users");
        profiles = new Profiles(task);
        given.schedule(Duration.ofMillis(50), PunctuationType.WALL_CLOCK_TIME, now -> profiles.flushWhenDue());
    }

    @Override
    public void process(Record<String, byte[]> record) {
        try {
            Work.Event event = Work.read(record.value());
            Work work = Work.of(users.get(event.userId()));
            int before = work.apply(event);
            users.put(event.userId(), work.bytes());
            if (before != work.rung()) {
                context.forward(record.withValue(work.change(event.userId(), before).getBytes()));
            }
            profiles.keep(event.userId(), work);
        } catch (java.io.IOException unreadable) {
            throw new java.io.UncheckedIOException(unreadable);
        }
    }

    public static void main(String[] words) {
        Task task = Task.read(words);
        var store = Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore("users"), Serdes.String(), Serdes.ByteArray());
        if (task.isTuned()) store = store.withCachingEnabled().withLoggingDisabled();
        Topology topology = new Topology()
            .addSource("events", task.topics().toArray(String[]::new))
            .addProcessor("score", () -> new KafkaStreamsPeer(task), "events")
            .addStateStore(store, "score")
            .addSink("changes", task.changes(), "score");
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, task.prefix());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, task.bootstrap());
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, task.folder());
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        // The embedded broker keeps a fetch for the whole wait when one of its partitions is at the end.
        settings.put(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG, 20);
        if (task.isTuned()) {
            settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 * 1024 * 1024);
            settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
            settings.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 20_000);
            settings.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, -1);
        }
        new KafkaStreams(topology, settings).start();
    }
}
