package dev.clf.client;

import clf.v1.Classification;
import clf.v1.ClassifyBatchRequest;
import clf.v1.ClassifyBatchResponse;
import clf.v1.Document;
import io.grpc.CallOptions;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.ConnectivityState;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/**
 * Classifies documents on a fleet of {@code clf serve} within a deadline.
 *
 * <p>A call has {@linkplain Builder#timeout 100 ms} in all. When no answer has come after 20 ms, the same request goes
 * to another server as well, and so on, up to three times; the first answer counts. Servers that say they are not
 * serving, or whose connection is lost, get no calls.
 *
 * <p>Every call fails with a {@link StatusRuntimeException} as gRPC made it. Its code tells what to do:
 *
 * <ul>
 *   <li>{@code INVALID_ARGUMENT}: the request is no document (an empty url, too large, too many): it fails again.
 *   <li>{@code DEADLINE_EXCEEDED}: no server answered in time, or one had too little time left to begin.
 *   <li>{@code RESOURCE_EXHAUSTED}, {@code CANCELLED}: every server that was asked has too many calls in hand.
 *   <li>{@code UNAVAILABLE}: no server could be reached, or none is known.
 *   <li>{@code INTERNAL}, {@code UNKNOWN}: a bug in a server; not tried again, since the next would have it too.
 * </ul>
 *
 * <p>A document in a language without a model is no failure: its result has the status {@code
 * STATUS_UNSUPPORTED_LANGUAGE}; one without a known term has {@code STATUS_EMPTY}.
 *
 * <p>One client serves any number of threads; make one and keep it.
 */
public final class ClassifierClient implements AutoCloseable {
    /** What a call may take when the builder is not told otherwise. */
    public static final Duration DEFAULT_TIMEOUT = Duration.ofMillis(100);

    private static final Document WARM_UP =
            Document.newBuilder().setUrl("clf:warm-up").build();

    private final ManagedChannel channel;
    private final Reconnecting reconnecting;
    private final long timeoutNanos;

    private ClassifierClient(ManagedChannel channel, Duration timeout) {
        this.channel = channel;
        this.timeoutNanos = timeout.toNanos();
        this.reconnecting = new Reconnecting(channel);
        channel.getState(true); // connects now, not at the first call
    }

    /**
     * Starts the description of a client.
     *
     * @param targets either servers, each as {@code "host:port"}, or a single name for all of them: {@code
     *     "dns:///host:port"} (every address of the host), or {@code
     *     "consul://agent-host:8500/clf-grpc?tag=eu&dc=one"} (what Consul says is passing; tag and dc may be left out;
     *     {@code consul+https} for an agent with TLS)
     * @throws IllegalArgumentException if they are neither
     */
    public static Builder builder(String... targets) {
        return new Builder(Target.of(List.of(targets)));
    }

    /**
     * Classifies one document; waits for the answer.
     *
     * @return the result that a worker with the same models publishes, without its source
     * @throws StatusRuntimeException if there is no answer; see the description of the class
     */
    public Classification classify(Document document) {
        return ClientCalls.blockingUnaryCall(channel, Methods.CLASSIFY, options(), document);
    }

    /**
     * Classifies one document; does not wait.
     *
     * @return completed with the result, or exceptionally with the {@link StatusRuntimeException}, on the
     *     {@linkplain Builder#executor executor}; cancelling it cancels the call
     */
    public CompletableFuture<Classification> classifyAsync(Document document) {
        return Reply.to(channel.newCall(Methods.CLASSIFY, options()), document);
    }

    /**
     * Classifies a few documents in one call, all or none, in the time of one; waits for the answer.
     *
     * @param documents as many as the servers take ({@code --max-batch}, 64 by default)
     * @return one result per document, in their order
     * @throws StatusRuntimeException if there is no answer; {@code INVALID_ARGUMENT} names the document that is
     *     none by its place
     */
    public List<Classification> classifyBatch(List<Document> documents) {
        ClassifyBatchRequest request = ClassifyBatchRequest.newBuilder().addAllDocuments(documents).build();
        ClassifyBatchResponse response =
                ClientCalls.blockingUnaryCall(channel, Methods.CLASSIFY_BATCH, options(), request);
        return response.getClassificationsList();
    }

    /**
     * Waits until a server can be called, and makes one call for no page, with the url {@code clf:warm-up}. Without
     * it, the first calls may take what connecting takes, and what Java takes to load the code: more than 100 ms
     * together.
     *
     * @return whether one can be called, within {@code timeout}
     * @throws InterruptedException if the thread was interrupted
     */
    public boolean awaitReady(Duration timeout) throws InterruptedException {
        long end = System.nanoTime() + timeout.toNanos();
        ConnectivityState state = channel.getState(true);
        while (state != ConnectivityState.READY) {
            CountDownLatch changed = new CountDownLatch(1);
            channel.notifyWhenStateChanged(state, changed::countDown);
            if (!changed.await(end - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                return false;
            }
            state = channel.getState(true);
        }
        warmUp(end - System.nanoTime());
        return true;
    }

    /** Begins no further calls, and waits for those in hand, no longer than a call may take. */
    @Override
    public void close() {
        reconnecting.close();
        channel.shutdown();
        try {
            channel.awaitTermination(timeoutNanos, TimeUnit.NANOSECONDS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        } finally {
            channel.shutdownNow();
        }
    }

    private void warmUp(long nanos) {
        try {
            ClientCalls.blockingUnaryCall(channel, Methods.CLASSIFY, options(nanos), WARM_UP);
        } catch (StatusRuntimeException unimportant) {
            // The code is loaded all the same, and whether there are answers the first call will tell.
        }
    }

    private CallOptions options() {
        return options(timeoutNanos);
    }

    private static CallOptions options(long nanos) {
        return AnsweringPicker.noneTried(CallOptions.DEFAULT.withDeadlineAfter(nanos, TimeUnit.NANOSECONDS));
    }

    /** Describes a client. */
    public static final class Builder {
        private final Target target;
        private Duration timeout = DEFAULT_TIMEOUT;
        private ChannelCredentials credentials = InsecureChannelCredentials.create();
        private String authority;
        private Executor executor;
        private List<ClientInterceptor> interceptors = List.of();

        private Builder(Target target) {
            this.target = target;
        }

        /**
         * What a call may take in all, further attempts included; 100 ms unless told otherwise.
         *
         * @throws IllegalArgumentException if it is not positive
         */
        public Builder timeout(Duration timeout) {
            if (timeout.isZero() || timeout.isNegative()) {
                throw new IllegalArgumentException("The timeout must be positive, it is " + timeout);
            }
            this.timeout = timeout;
            return this;
        }

        /**
         * How connections are secured; plain text unless told otherwise. {@code TlsChannelCredentials.create()} trusts
         * what Java trusts; its builder takes other certificates and, for mutual TLS, one's own.
         */
        public Builder credentials(ChannelCredentials credentials) {
            this.credentials = Objects.requireNonNull(credentials);
            return this;
        }

        /** The name that every server's certificate must be for; otherwise its own host, as it was named. */
        public Builder authority(String authority) {
            this.authority = Objects.requireNonNull(authority);
            return this;
        }

        /** What the futures of {@link #classifyAsync} are completed on; gRPC's shared thread pool otherwise. */
        public Builder executor(Executor executor) {
            this.executor = Objects.requireNonNull(executor);
            return this;
        }

        /**
         * What every call passes through, once however many attempts it takes. For instance to carry the caller's trace:
         * {@code GrpcTelemetry.create(openTelemetry).newClientInterceptor()} of {@code opentelemetry-grpc-1.6}.
         */
        public Builder interceptors(ClientInterceptor... interceptors) {
            this.interceptors = List.of(interceptors);
            return this;
        }

        /**
         * Makes the client, which begins to connect at once; see {@link #awaitReady}.
         */
        public ClassifierClient build() {
            ManagedChannel channel = Channels.open(target, credentials, authority, executor, interceptors);
            return new ClassifierClient(channel, timeout);
        }
    }
}
