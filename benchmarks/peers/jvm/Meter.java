import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** Counts the events that are done, in the store too, of all threads; after the last it prints and ends the JVM. */
public final class Meter {
    private final Task task;
    private long done, doneAtStart, startedNs;
    private double cpuS, storeCpuS;
    private static Meter only;

    private Meter(Task task) {
        this.task = task;
    }

    static synchronized Meter of(Task task) {
        if (only == null) only = new Meter(task);
        return only;
    }

    synchronized void took(long count) {
        done += count;
        if (doneAtStart == 0 && done >= task.warm()) {
            doneAtStart = done;
            startedNs = System.nanoTime();
            cpuS = cpuSeconds();
            storeCpuS = storeCpuSeconds();
        }
        if (done < task.events()) return;
        System.out.println(String.format(
            Locale.ROOT, "%n{\"messages\": %d, \"wall_s\": %f, \"cpu_s\": %f, \"store_cpu_s\": %f}",
            done - doneAtStart, (System.nanoTime() - startedNs) / 1e9, cpuSeconds() - cpuS,
            storeCpuSeconds() - storeCpuS));
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static double cpuSeconds() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    private double storeCpuSeconds() {
        try {
            String stat = Files.readString(Path.of("/proc/" + task.redisPid() + "/stat"));
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / 100.0;
        } catch (IOException gone) {
            return 0;
        }
    }
}
