package dev.clf.client;

import io.grpc.ManagedChannel;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Has a channel try its lost servers every second. By itself it waits longer each time, up to two minutes: a server
 * that was restarted would get no calls for that long, and during a rolling restart there would be none left to call.
 * Host names are looked up again as well, as often as Java's cache of them allows.
 */
final class Reconnecting implements AutoCloseable {
    private static final int PERIOD_SECONDS = 1;

    private final ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(1, task -> {
        Thread thread = new Thread(task, "clf-reconnecting");
        thread.setDaemon(true);
        return thread;
    });

    Reconnecting(ManagedChannel channel) {
        timer.scheduleWithFixedDelay(
                channel::resetConnectBackoff, PERIOD_SECONDS, PERIOD_SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        timer.shutdownNow();
    }
}
