package dev.clf.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a client can be told to call. */
class TargetTest {
    @ParameterizedTest
    @ValueSource(strings = {"localhost:1", "10.0.0.1:65535", "[::1]:50051", "clf_1.internal:50051"})
    void aServerIsAHostAndAPort(String text) {
        assertEquals(text, Address.parse(text).toString());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", "localhost", "localhost:", ":1", "localhost:0", "a:65536", "a:b", "::1", "[::1]", "[a]:1"})
    void anythingElseIsNone(String text) {
        assertThrows(IllegalArgumentException.class, () -> ClassifierClient.builder(text));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "consul://agent:8500",
                "consul:///clf",
                "consul://a/b/c",
                "consul://a/b?near=me",
                "consul://a_b/c",
                "gopher://a"
            })
    void aNameForAllMustBeOneOfThose(String text) {
        assertThrows(IllegalArgumentException.class, () -> ClassifierClient.builder(text));
    }

    @Test
    void atLeastOneServerAndOneNameAtMost() {
        assertThrows(IllegalArgumentException.class, ClassifierClient::builder);
        assertThrows(
                IllegalArgumentException.class, () -> ClassifierClient.builder("dns:///localhost:1", "localhost:2"));
    }

    @Test
    void theAgentsPortMayBeLeftOut() {
        String query = ConsulTarget.parse("consul://agent/clf-grpc").query(5, Duration.ofSeconds(1)).toString();
        assertEquals("http://agent:8500/v1/health/service/clf-grpc?passing=true&index=5&wait=1s", query);
    }

    @Test
    void theAgentMayHaveTls() {
        String query = ConsulTarget.parse("consul+https://agent:1/clf").query(5, Duration.ofSeconds(1)).toString();
        assertEquals("https://agent:1/v1/health/service/clf?passing=true&index=5&wait=1s", query);
    }

    @Test
    void whereNobodyListensCallsFailAtOnce() throws Exception {
        String address = "127.0.0.1:" + unusedPort();
        try (ClassifierClient client = ClassifierClient.builder(address).timeout(Duration.ofSeconds(20)).build()) {
            var failure = assertThrows(
                    StatusRuntimeException.class, () -> client.classify(Load.document("a")));
            assertEquals(Code.UNAVAILABLE, failure.getStatus().getCode());
            assertTrue(!client.awaitReady(Duration.ofMillis(10)));
        }
    }

    @Test
    void anUnknownHostIsNamed() {
        try (ClassifierClient client =
                ClassifierClient.builder("nowhere.invalid:1").timeout(Duration.ofSeconds(20)).build()) {
            var failure = assertThrows(
                    StatusRuntimeException.class, () -> client.classify(Load.document("a")));
            assertEquals(Code.UNAVAILABLE, failure.getStatus().getCode());
            assertTrue(failure.getMessage().contains("nowhere.invalid:1"), failure.getMessage());
        }
    }

    @Test
    void aTimeoutIsPositive() {
        var builder = ClassifierClient.builder("localhost:1");
        for (Duration timeout : List.of(Duration.ZERO, Duration.ofMillis(-1))) {
            assertThrows(IllegalArgumentException.class, () -> builder.timeout(timeout));
        }
    }

    private static int unusedPort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
