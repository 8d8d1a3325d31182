package dev.clf.client;

import io.grpc.Attributes;
import io.grpc.ClientStreamTracer;
import io.grpc.LoadBalancer.Subchannel;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Whether one server has fallen silent: it left several attempts in a row without an answer for so long that others
 * were sent elsewhere. Then it is asked once a second, until it answers.
 *
 * <p>Pings notice a frozen server only after 11 s: gRPC for Java sends them every 10 s at most.
 */
final class Silence extends ClientStreamTracer.Factory {
    static final Attributes.Key<Silence> OF_SERVER = Attributes.Key.create("dev.clf.client.silence");

    private static final int ATTEMPTS = 3;
    private static final long PATIENCE_NANOS = Channels.HEDGING_DELAY.toNanos();
    private static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final AtomicInteger unanswered = new AtomicInteger();
    private final AtomicLong lastAsked = new AtomicLong(System.nanoTime());

    static Silence of(Subchannel server) {
        return server.getAttributes().get(OF_SERVER);
    }

    boolean mayBeAsked() {
        if (unanswered.get() < ATTEMPTS) {
            return true;
        }
        long last = lastAsked.get();
        long now = System.nanoTime();
        return now - last >= PAUSE_NANOS && lastAsked.compareAndSet(last, now);
    }

    @Override
    public ClientStreamTracer newClientStreamTracer(ClientStreamTracer.StreamInfo info, Metadata headers) {
        return new Attempt();
    }

    private final class Attempt extends ClientStreamTracer {
        private final long began = System.nanoTime();
        private volatile boolean answered;

        @Override
        public void inboundHeaders() {
            answer();
        }

        @Override
        public void inboundTrailers(Metadata trailers) {
            answer();
        }

        @Override
        public void streamClosed(Status status) {
            long now = System.nanoTime();
            if (!answered && now - began >= PATIENCE_NANOS && unanswered.incrementAndGet() == ATTEMPTS) {
                lastAsked.set(now);
            }
        }

        private void answer() {
            answered = true;
            unanswered.set(0);
        }
    }
}
