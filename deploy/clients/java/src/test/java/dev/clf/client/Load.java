package dev.clf.client;

import clf.v1.Document;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/** Calls, and how they ended. */
final class Load implements AutoCloseable {
    private static final long PAUSE_NANOS = 5_000_000;

    private final ClassifierClient client;
    private final ExecutorService threads;
    private final List<Future<Map<Code, Integer>>> running = new ArrayList<>();
    private final AtomicBoolean enough = new AtomicBoolean();

    Load(ClassifierClient client, int threads) {
        this.client = client;
        this.threads = Executors.newFixedThreadPool(threads);
    }

    static Document document(String url) {
        return Document.newBuilder()
                .setUrl(url)
                .setTitle("Cup final")
                .setText("The striker scored a late goal and the home team won the match.")
                .setLang("en")
                .build();
    }

    /** Makes so many calls, one after the other. */
    static Map<Code, Integer> calls(ClassifierClient client, int count) {
        Map<Code, Integer> outcomes = new EnumMap<>(Code.class);
        for (int call = 0; call < count; call++) {
            outcomes.merge(call(client, "https://example.org/" + call), 1, Integer::sum);
        }
        return outcomes;
    }

    /** Makes so many calls in all, on every thread at once. */
    static Map<Code, Integer> calls(ClassifierClient client, int count, int threads) throws Exception {
        try (Load load = new Load(client, threads)) {
            for (int thread = 0; thread < threads; thread++) {
                load.running.add(load.threads.submit(() -> calls(client, count / threads)));
            }
            return load.outcomes();
        }
    }

    /** Begins to call, some hundred times a second, until {@link #stop}. */
    static Load start(ClassifierClient client, int threads) {
        Load load = new Load(client, threads);
        for (int thread = 0; thread < threads; thread++) {
            load.running.add(load.threads.submit(load::untilEnough));
        }
        return load;
    }

    Map<Code, Integer> stop() throws Exception {
        enough.set(true);
        return outcomes();
    }

    @Override
    public void close() {
        enough.set(true);
        threads.shutdownNow();
    }

    private Map<Code, Integer> untilEnough() {
        Map<Code, Integer> outcomes = new EnumMap<>(Code.class);
        while (!enough.get()) {
            outcomes.merge(call(client, "https://example.org/"), 1, Integer::sum);
            LockSupport.parkNanos(PAUSE_NANOS);
        }
        return outcomes;
    }

    private Map<Code, Integer> outcomes() throws Exception {
        Map<Code, Integer> all = new EnumMap<>(Code.class);
        for (Future<Map<Code, Integer>> thread : running) {
            thread.get().forEach((code, count) -> all.merge(code, count, Integer::sum));
        }
        return all;
    }

    private static Code call(ClassifierClient client, String url) {
        try {
            client.classify(document(url));
            return Code.OK;
        } catch (StatusRuntimeException failure) {
            return failure.getStatus().getCode();
        }
    }
}
