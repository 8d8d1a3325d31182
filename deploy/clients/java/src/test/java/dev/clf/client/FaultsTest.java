package dev.clf.client;

import static dev.clf.client.Eventually.eventually;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status.Code;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** What callers notice when one of two real servers is in trouble. */
@EnabledIfSystemProperty(named = RealServer.COMMAND, matches = ".+", disabledReason = RealServer.MISSING)
class FaultsTest {
    private static final Duration PATIENCE = Duration.ofSeconds(20);
    private static final Set<Code> ONLY_OK = Set.of(Code.OK);

    private static RealServer one;
    private static RealServer two;
    private static RealServer leaving;

    @TempDir
    private static Path directory;

    @BeforeAll
    static void start() throws Exception {
        one = RealServer.launch(directory, "--lame-duck", "0.5");
        two = RealServer.launch(directory, "--lame-duck", "0.5");
        leaving = RealServer.launch(directory, "--lame-duck", "60");
        for (RealServer server : List.of(one, two, leaving)) {
            server.awaitStarted();
        }
    }

    @AfterAll
    static void stop() {
        for (RealServer server : Arrays.asList(one, two, leaving)) {
            if (server != null) {
                server.close();
            }
        }
    }

    /** The best of three rounds counts, since a machine that is busy with other things makes calls late as well. */
    @Test
    void aFrozenServerIsCoveredByTheOther() throws Exception {
        int calls = 500;
        int best = 0;
        try (ClassifierClient client = client(ClassifierClient.DEFAULT_TIMEOUT, one, two)) {
            for (int round = 1; round <= 3 && best < calls * 0.99; round++) {
                awaitCalled(client, one, two);
                one.freeze();
                Map<Code, Integer> outcomes = Load.calls(client, calls, 4);
                one.thaw();
                best = Math.max(best, outcomes.getOrDefault(Code.OK, 0));
            }
        }
        assertTrue(best >= calls * 0.99, "only " + best + " of " + calls + " calls were answered in time");
    }

    @Test
    void aRollingRestartFailsNoCall() throws Exception {
        try (ClassifierClient client = client(PATIENCE, one, two);
                Load load = Load.start(client, 2)) {
            awaitCalled(client, one, two);
            one = restarted(one);
            awaitCalled(client, one, two);
            two = restarted(two);
            awaitCalled(client, one, two);
            assertEquals(ONLY_OK, load.stop().keySet());
        }
    }

    @Test
    void aServerThatIsNotServingAnyMoreGetsNoCalls() throws Exception {
        try (ClassifierClient client = client(PATIENCE, leaving, two)) {
            awaitCalled(client, leaving, two);
            leaving.terminate();
            eventually("the server is leaving", PATIENCE, () -> !leaving.ready());
            eventually("calls go elsewhere", PATIENCE, () -> {
                long before = leaving.handled();
                assertEquals(ONLY_OK, Load.calls(client, 50).keySet());
                return leaving.handled() == before;
            });
            assertFalse(leaving.ready());
        }
    }

    private static ClassifierClient client(Duration timeout, RealServer... servers) {
        return ClassifierClient.builder(Stream.of(servers).map(RealServer::address).toArray(String[]::new))
                .timeout(timeout)
                .build();
    }

    private static RealServer restarted(RealServer server) throws Exception {
        server.terminate();
        server.awaitEnded();
        return RealServer.launchAt(server.port(), directory, "--lame-duck", "0.5").awaitStarted();
    }

    /** Waits until calls reach all of them, as someone does who restarts one after the other. */
    private static void awaitCalled(ClassifierClient client, RealServer... servers) throws Exception {
        for (RealServer server : servers) {
            long before = server.handled();
            eventually("the server is called", PATIENCE, () -> {
                Load.calls(client, 10);
                return server.handled() > before;
            });
        }
    }
}
