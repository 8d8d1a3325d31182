package dev.clf.client;

import io.grpc.ManagedChannel;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Has a channel try its lost servers every quarter of a second: one that was restarted leaves its callers half a second
 * for that before it says ready. By itself a channel waits longer each time, up to two minutes: that server would get no
 * calls for that long, and during a rolling restart there would be none left to call.
 * Host names are looked up again as well, as often as Java's cache of them allows.
 */
final class Reconnecting implements AutoCloseable {
    private static final int PERIOD_MILLIS = 250;

    private final ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(1, task -> {
        Thread thread = new Thread(task, "clf-reconnecting");
        thread.setDaemon(true);
        return thread;
    });

    Reconnecting(ManagedChannel channel) {
        timer.scheduleWithFixedDelay(
                channel::resetConnectBackoff, PERIOD_MILLIS, PERIOD_MILLIS, TimeUnit.MILLISECONDS);
    }

    @Override
    public void close() {
        timer.shutdownNow();
    }
}
