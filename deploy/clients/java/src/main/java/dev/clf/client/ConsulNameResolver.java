package dev.clf.client;

import dev.clf.client.ConsulCatalog.Answer;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.Status;
import io.grpc.StatusOr;
import io.grpc.SynchronizationContext;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Follows the passing instances of a Consul service with blocking queries, on a thread of its own.
 *
 * <p>When Consul cannot be asked, the last known instances stay for as long as that lasts. When it says that none is
 * passing, they stay for {@link Pace#keepEmpty} (five minutes): an agent that lost its checks says so of healthy
 * servers. The client knows from the connections which of them are there. After that, calls fail with {@code
 * UNAVAILABLE}, since by then the addresses may be somebody else's.
 */
final class ConsulNameResolver extends NameResolver {
    private static final Logger LOG = System.getLogger(ConsulNameResolver.class.getName());

    private final String service;
    private final ConsulCatalog catalog;
    private final SynchronizationContext synchronizing;
    private final Pace pace;
    private final Thread thread;

    private Listener2 listener;
    private volatile boolean closed;

    // Of the thread alone.
    private List<Address> known = List.of();
    private boolean empty;
    private long emptySince;
    private int failures;

    ConsulNameResolver(String service, ConsulCatalog catalog, SynchronizationContext synchronizing, Pace pace) {
        this.service = service;
        this.catalog = catalog;
        this.synchronizing = synchronizing;
        this.pace = pace;
        this.thread = new Thread(this::follow, "clf-consul-" + service);
        thread.setDaemon(true);
    }

    @Override
    public String getServiceAuthority() {
        return service;
    }

    @Override
    public void start(Listener2 listener) {
        this.listener = listener;
        thread.start();
    }

    /** Does nothing: the thread asks all the time, and the answers come as soon as they change. */
    @Override
    public void refresh() {}

    @Override
    public void shutdown() {
        closed = true;
        thread.interrupt();
    }

    private void follow() {
        long index = 0;
        try {
            while (!closed) {
                index = step(index);
            }
        } catch (InterruptedException shutdown) {
            LOG.log(Level.DEBUG, "Consul is not asked for {0} any more", service);
        }
    }

    /** Asks once; returns the index to ask with next. Starts anew when the index went backwards, as Consul demands. */
    private long step(long index) throws InterruptedException {
        try {
            Answer answer = catalog.ask(index, pace.patience);
            take(answer.addresses());
            recovered();
            Thread.sleep(pace.least.toMillis());
            return answer.index() < index ? 0 : answer.index();
        } catch (IOException failure) {
            failed(failure);
            Thread.sleep(pace.pause(failures).toMillis());
            return 0;
        }
    }

    private void take(List<Address> addresses) throws IOException {
        if (!addresses.isEmpty()) {
            empty = false;
            publish(addresses);
        } else if (known.isEmpty()) {
            tell(StatusOr.fromStatus(
                    Status.UNAVAILABLE.withDescription("Consul knows no passing instance of " + service)));
        } else if (!empty) {
            empty = true;
            emptySince = System.nanoTime();
            LOG.log(Level.WARNING, "Consul says that no instance of {0} is passing; keeping {1}", service, known);
        } else if (System.nanoTime() - emptySince >= pace.keepEmpty.toNanos()) {
            known = List.of();
            take(addresses);
        }
    }

    private void publish(List<Address> addresses) throws IOException {
        List<EquivalentAddressGroup> resolved = List.copyOf(Address.resolve(addresses).values());
        if (resolved.isEmpty()) {
            throw new IOException("none of these hosts is known: " + addresses);
        }
        known = addresses;
        tell(StatusOr.fromValue(resolved));
    }

    private void tell(StatusOr<List<EquivalentAddressGroup>> addressesOrError) {
        ResolutionResult result =
                ResolutionResult.newBuilder().setAddressesOrError(addressesOrError).build();
        synchronizing.execute(() -> listener.onResult2(result));
    }

    private void failed(IOException failure) {
        failures++;
        String reason = failure.getMessage() == null ? failure.toString() : failure.getMessage();
        if (failures == 1) {
            LOG.log(Level.WARNING, "Consul cannot be asked for {0} ({1}); keeping {2}", service, reason, known);
        }
        if (known.isEmpty()) {
            tell(StatusOr.fromStatus(Status.UNAVAILABLE
                    .withDescription("Consul cannot be asked for " + service + ": " + reason)
                    .withCause(failure)));
        }
    }

    private void recovered() {
        if (failures > 0) {
            LOG.log(Level.INFO, "Consul can be asked for {0} again, after {1} failures", service, failures);
            failures = 0;
        }
    }

    /**
     * How fast things go.
     *
     * @param patience how long Consul may wait with an answer when nothing is new
     * @param least from one answer to the next question, should Consul not wait
     * @param firstPause after a failure; twice as long after each further one
     * @param longestPause at most
     * @param keepEmpty how long the last known instances stay when Consul says that there are none
     */
    record Pace(Duration patience, Duration least, Duration firstPause, Duration longestPause, Duration keepEmpty) {
        static final Pace DEFAULT = new Pace(
                Duration.ofSeconds(55),
                Duration.ofMillis(200),
                Duration.ofMillis(500),
                Duration.ofSeconds(30),
                Duration.ofMinutes(5));

        /** Between half and all of the pause, so that a thousand clients do not come back in one moment. */
        Duration pause(int failures) {
            double doubled = firstPause.toMillis() * Math.pow(2, Math.max(0, failures - 1));
            double capped = Math.min(doubled, longestPause.toMillis());
            return Duration.ofMillis((long) (capped * ThreadLocalRandom.current().nextDouble(0.5, 1)));
        }
    }
}
