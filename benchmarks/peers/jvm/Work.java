import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.Map;

/** The work of every peer on the JVM, as job.py has it for those in Python: one user, as bytes or as fields. */
public final class Work {
    static final String[] TIERS = {"bronze", "silver", "gold", "platinum"};
    private static final double[] ENTER_AT = {0, 20 - 20e-9, 50 - 50e-9, 80 - 80e-9};
    private static final double[] KEEP_AT = {0, 16 - 16e-9, 40 - 40e-9, 64 - 64e-9};
    private static final long HOUR_MS = 3_600_000, DAY_MS = 24 * HOUR_MS, SHANGHAI_MS = 8 * HOUR_MS;
    private static final double HALF_LIFE_MS = 30.0 * DAY_MS;
    private static final int HOURS = 25, DAYS = 31;
    private static final JsonFactory JSON = new JsonFactory();

    /** The fields of an event that count. */
    public record Event(String userId, String kind, long atMs, long cents) {}

    private double activity, score;
    private long atMs, views, spend;
    private int rung;
    private final int[] hours = new int[HOURS];
    private final long[] days = new long[DAYS];

    static Event read(byte[] value) throws IOException {
        String userId = null, kind = null, time = null, amount = "0";
        try (JsonParser parser = JSON.createParser(value)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "user_id" -> userId = parser.getText();
                    case "type" -> kind = parser.getText();
                    case "event_time" -> time = parser.getText();
                    case "amount" -> amount = parser.getText();
                    default -> parser.skipChildren();
                }
            }
        }
        long cents = Math.round(Double.parseDouble(amount) * 100);
        return new Event(userId, kind, Instant.parse(time).toEpochMilli(), cents);
    }

    static Work of(byte[] bytes) {
        Work work = new Work();
        if (bytes == null) return work;
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        work.activity = buffer.getDouble();
        work.score = buffer.getDouble();
        work.atMs = buffer.getLong();
        work.views = buffer.getLong();
        work.spend = buffer.getLong();
        work.rung = buffer.getInt();
        for (int hour = 0; hour < HOURS; hour++) work.hours[hour] = buffer.getInt();
        for (int day = 0; day < DAYS; day++) work.days[day] = buffer.getLong();
        return work;
    }

    byte[] bytes() {
        ByteBuffer buffer = ByteBuffer.allocate(44 + 4 * HOURS + 8 * DAYS);
        buffer.putDouble(activity).putDouble(score).putLong(atMs).putLong(views).putLong(spend).putInt(rung);
        for (int hour : hours) buffer.putInt(hour);
        for (long day : days) buffer.putLong(day);
        return buffer.array();
    }

    /** Take one event; answer the rung before it. */
    int apply(Event event) {
        double weight = switch (event.kind()) {
            case "page_view" -> 1;
            case "add_to_cart" -> 5;
            default -> 20;
        };
        if (event.atMs() >= atMs) {
            advance(event.atMs());
            activity += weight;
        } else {
            activity += weight * Math.pow(2, (event.atMs() - atMs) / HALF_LIFE_MS);
        }
        if (event.kind().equals("page_view")) {
            long hour = event.atMs() / HOUR_MS;
            if (hour > atMs / HOUR_MS - HOURS) {
                hours[(int) (hour % HOURS)]++;
                views++;
            }
        } else if (event.kind().equals("order_paid")) {
            long day = (event.atMs() + SHANGHAI_MS) / DAY_MS;
            if (day > (atMs + SHANGHAI_MS) / DAY_MS - DAYS) {
                days[(int) (day % DAYS)] += event.cents();
                spend += event.cents();
            }
        }
        int before = rung;
        judge();
        return before;
    }

    private void advance(long toMs) {
        long fromMs = atMs;
        atMs = toMs;
        if (fromMs == 0) return;
        activity *= Math.pow(2, (fromMs - toMs) / HALF_LIFE_MS);
        long to = toMs / HOUR_MS;
        for (long hour = Math.max(fromMs / HOUR_MS + 1, to - HOURS + 1); hour <= to; hour++) {
            views -= hours[(int) (hour % HOURS)];
            hours[(int) (hour % HOURS)] = 0;
        }
        to = (toMs + SHANGHAI_MS) / DAY_MS;
        for (long day = Math.max((fromMs + SHANGHAI_MS) / DAY_MS + 1, to - DAYS + 1); day <= to; day++) {
            spend -= days[(int) (day % DAYS)];
            days[(int) (day % DAYS)] = 0;
        }
    }

    private void judge() {
        double major = spend / 100.0;
        score = activity < 50 ? activity * 0.4 : Math.min(20 + (activity - 50) * (20.0 / 450), 40);
        score += Math.min(views * 0.2, 10);
        score += major < 1000 ? major * 0.03 : Math.min(30 + (major - 1000) * (20.0 / 19_000), 50);
        while (rung < 3 && score >= ENTER_AT[rung + 1]) rung++;
        while (score < KEEP_AT[rung]) rung--;
    }

    int rung() {
        return rung;
    }

    Map<String, String> profile() {
        return Map.of(
            "tier", TIERS[rung],
            "score", Double.toString(Math.round(score * 1e6) / 1e6),  // String.format takes ten times as long.
            "spend", Double.toString(spend / 100.0));
    }

    String change(String userId, int before) {
        return "{\"user_id\":\"" + userId + "\",\"from\":\"" + TIERS[before] + "\",\"to\":\"" + TIERS[rung]
            + "\",\"score\":" + score + ",\"at_ms\":" + atMs + "}";
    }
}
