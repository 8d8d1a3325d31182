package dev.clf.client;

import static dev.clf.client.Load.document;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import clf.v1.Classification;
import clf.v1.Document;
import clf.v1.Status;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** What one real server answers. The client is patient, so that a busy machine fails nothing here. */
@EnabledIfSystemProperty(named = RealServer.COMMAND, matches = ".+", disabledReason = RealServer.MISSING)
class ServiceTest {
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    private static RealServer server;
    private static ClassifierClient client;

    @BeforeAll
    static void start(@TempDir Path directory) throws Exception {
        server = RealServer.launch(directory).awaitStarted();
        client = ClassifierClient.builder(server.address()).timeout(PATIENCE).build();
        assertTrue(client.awaitReady(PATIENCE));
    }

    @AfterAll
    static void stop() throws Exception {
        client.close();
        server.close();
    }

    @Test
    void classifiesADocument() {
        Classification result = client.classify(document("https://example.org/final"));
        assertEquals("https://example.org/final", result.getUrl());
        assertEquals(Status.STATUS_CLASSIFIED, result.getStatus());
        assertEquals(List.of("sport"), result.getLabelsList());
        assertEquals("sport", result.getClasses(0).getName());
        assertTrue(result.getClasses(0).getProb() > 0 && result.getClasses(0).getProb() <= 1);
        assertEquals("en", result.getModel().getLang());
        assertFalse(result.hasSource());
    }

    @Test
    void classifiesWithoutWaiting() throws Exception {
        Document document = document("https://example.org/final");
        Classification result = client.classifyAsync(document).get(10, TimeUnit.SECONDS);
        assertEquals(client.classify(document), result);
    }

    @Test
    void classifiesABatchInItsOrder() {
        List<Document> documents = List.of(document("a"), document("b").toBuilder().setLang("xx").build());
        List<Classification> results = client.classifyBatch(documents);
        assertEquals(documents.stream().map(client::classify).toList(), results);
    }

    @Test
    void aLanguageWithoutAModelIsNoFailure() {
        Document document = document("a").toBuilder().setLang("fi").build();
        assertEquals(Status.STATUS_UNSUPPORTED_LANGUAGE, client.classify(document).getStatus());
    }

    @Test
    void aDocumentWithoutAKnownTermIsNoFailure() {
        Document document = Document.newBuilder().setUrl("a").setText("!").setLang("en").build();
        assertEquals(Status.STATUS_EMPTY, client.classify(document).getStatus());
    }

    @Test
    void anEmptyUrlIsRefused() {
        Document none = Document.getDefaultInstance();
        assertEquals(Code.INVALID_ARGUMENT, code(() -> client.classify(none)));
        assertEquals(Code.INVALID_ARGUMENT, code(() -> client.classifyBatch(List.of(document("a"), none))));
        var failure = assertThrows(
                ExecutionException.class, () -> client.classifyAsync(none).get(10, TimeUnit.SECONDS));
        assertInstanceOf(StatusRuntimeException.class, failure.getCause());
    }

    @Test
    void aLargeDocumentPasses() {
        Document document = document("a").toBuilder().setText("goal ".repeat(600_000)).build();
        assertEquals(Status.STATUS_CLASSIFIED, client.classify(document).getStatus());
    }

    @Test
    void findsTheServerThroughConsul() throws Exception {
        try (FakeConsul consul = new FakeConsul()) {
            consul.answers(FakeConsul.instances(1, server.address()));
            try (ClassifierClient found = ClassifierClient.builder(consul.target("clf-grpc"))
                    .timeout(PATIENCE)
                    .build()) {
                assertTrue(found.awaitReady(PATIENCE));
                assertEquals(Status.STATUS_CLASSIFIED, found.classify(document("a")).getStatus());
            }
        }
    }

    @Test
    void findsTheServerByName() throws Exception {
        try (ClassifierClient found = ClassifierClient.builder("dns:///localhost:" + server.port())
                .timeout(PATIENCE)
                .build()) {
            assertTrue(found.awaitReady(PATIENCE));
            assertEquals(Status.STATUS_CLASSIFIED, found.classify(document("a")).getStatus());
        }
    }

    @Test
    void aCallEndsAtItsDeadline() throws Exception {
        try (ClassifierClient hasty = ClassifierClient.builder(server.address()).build()) {
            assertTrue(hasty.awaitReady(PATIENCE));
            server.freeze();
            long began = System.nanoTime();
            assertEquals(Code.DEADLINE_EXCEEDED, code(() -> hasty.classify(document("a"))));
            Duration took = Duration.ofNanos(System.nanoTime() - began);
            assertTrue(took.compareTo(Duration.ofMillis(95)) > 0, "given up early, after " + took);
            assertTrue(took.compareTo(Duration.ofSeconds(5)) < 0, "given up late, after " + took);
        } finally {
            server.thaw();
        }
    }

    @Test
    void aCancelledFutureEndsItsCall() throws Exception {
        Duration forever = Duration.ofMinutes(10);
        ClassifierClient patient = ClassifierClient.builder(server.address()).timeout(forever).build();
        assertTrue(patient.awaitReady(PATIENCE));
        server.freeze();
        try {
            assertTrue(patient.classifyAsync(document("a")).cancel(true));
            patient.close(); // would wait for a call in hand
        } finally {
            server.thaw();
        }
    }

    private static Code code(Runnable call) {
        return assertThrows(StatusRuntimeException.class, call::run).getStatus().getCode();
    }
}
