import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Flink: a Kafka source, keyBy, a KeyedProcessFunction with one ValueState in RocksDB, a Kafka sink, in one JVM.
 *
 * As taught: parallelism of the 2 cores, a checkpoint each 10 s, each profile written as it changes.
 * Tuned: parallelism 1, so that nothing crosses the network stack, objects reused, 256 MB of managed memory for
 * RocksDB, no checkpoint within a run, profiles coalesced.
 */
public final class FlinkPeer extends KeyedProcessFunction<String, Work.Event, String> {
    private static final long POKE_MS = 50;
    private final Task task;
    private transient ValueState<byte[]> users;
    private transient Profiles profiles;

    private FlinkPeer(Task task) {
        this.task = task;
    }

    @Override
    public void open(OpenContext context) {
        users = getRuntimeContext().getState(
            new ValueStateDescriptor<>("user", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
        profiles = new Profiles(task);
    }

    @Override
    public void processElement(Work.Event event, Context context, Collector<String> changes) throws Exception {
        Work work = Work.of(users.value());
        int before = work.apply(event);
        users.update(work.bytes());
        if (before != work.rung()) changes.collect(work.change(event.userId(), before));
        profiles.keep(event.userId(), work);
        if (task.isTuned()) {  // One timer for each 50 ms, whoever the user is: it flushes the last ones.
            long now = context.timerService().currentProcessingTime();
            if (now / POKE_MS != poked) {
                poked = now / POKE_MS;
                context.timerService().registerProcessingTimeTimer(now + 300);
            }
        }
    }

    private transient long poked;

    @Override
    public void onTimer(long atMs, OnTimerContext context, Collector<String> changes) {
        profiles.flushWhenDue();
    }

    /** Reads events as they come from Kafka. */
    static final class Reader extends AbstractDeserializationSchema<Work.Event> {
        @Override
        public Work.Event deserialize(byte[] value) throws java.io.IOException {
            return Work.read(value);
        }
    }

    public static void main(String[] words) throws Exception {
        Task task = Task.read(words);
        Configuration settings = new Configuration();
        settings.setString("state.backend.type", "rocksdb");
        settings.setString("execution.checkpointing.dir", "file://" + task.folder() + "/checkpoints");
        settings.setString("io.tmp.dirs", task.folder());
        settings.setString("taskmanager.memory.managed.size", "256m");
        settings.setString("restart-strategy.type", "none");  // It would count events twice.
        if (task.isTuned()) settings.setString("pipeline.object-reuse", "true");
        else settings.setString("execution.checkpointing.interval", "10s");
        var environment = StreamExecutionEnvironment.createLocalEnvironment(task.isTuned() ? 1 : 2, settings);
        var source = KafkaSource.<Work.Event>builder()
            .setBootstrapServers(task.bootstrap()).setTopics(task.topics()).setGroupId(task.prefix())
            .setStartingOffsets(OffsetsInitializer.earliest()).setValueOnlyDeserializer(new Reader())
            .setProperty("fetch.max.wait.ms", "20").build();
        var sink = KafkaSink.<String>builder()
            .setBootstrapServers(task.bootstrap())
            .setRecordSerializer(KafkaRecordSerializationSchema.builder()
                .setTopic(task.changes()).setValueSerializationSchema(new SimpleStringSchema()).build())
            .build();
        environment.fromSource(source, WatermarkStrategy.noWatermarks(), "events")
            .keyBy(Work.Event::userId)
            .process(new FlinkPeer(task))
            .sinkTo(sink);
        environment.execute("peer");
    }
}
