package dev.clf.client;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;

/** Asks a Consul agent where the passing instances of a service are. */
final class ConsulCatalog {
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);
    // Consul adds up to a sixteenth to the time that it is asked to wait.
    private static final int EXTRA_WAIT_DIVISOR = 16;
    private static final Duration ANSWER_TIMEOUT = Duration.ofSeconds(10);
    private static final int OK = 200;
    private static final Gson GSON =
            new GsonBuilder().setFieldNamingPolicy(FieldNamingPolicy.UPPER_CAMEL_CASE).create();

    private final ConsulTarget target;
    private final Optional<String> token;
    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(CONNECT_TIMEOUT)
            .build();

    /** The token, if there is one, goes to the agent and nowhere else. */
    ConsulCatalog(ConsulTarget target, Optional<String> token) {
        this.target = target;
        this.token = token;
    }

    /**
     * The system property CONSUL_HTTP_TOKEN, else the environment variable.
     *
     * @throws IllegalArgumentException if it cannot be one; the message does not tell it
     */
    static Optional<String> tokenOfThisProcess() {
        String token = System.getProperty("CONSUL_HTTP_TOKEN", System.getenv("CONSUL_HTTP_TOKEN"));
        if (token == null || token.isBlank()) {
            return Optional.empty();
        }
        if (!token.strip().matches("[!-~]+")) {
            throw new IllegalArgumentException("CONSUL_HTTP_TOKEN has characters that no token has");
        }
        return Optional.of(token.strip());
    }

    /**
     * Asks, and waits until something is different from {@code index}, for {@code wait} at most.
     *
     * @throws IOException if there is no usable answer
     */
    Answer ask(long index, Duration wait) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(target.query(index, wait))
                .timeout(wait.plus(wait.dividedBy(EXTRA_WAIT_DIVISOR)).plus(ANSWER_TIMEOUT));
        token.ifPresent(text -> request.header("X-Consul-Token", text));
        HttpResponse<String> response = http.send(request.build(), BodyHandlers.ofString());
        if (response.statusCode() != OK) {
            throw new IOException("the agent answered with status " + response.statusCode());
        }
        return new Answer(index(response), addresses(response.body()));
    }

    private static long index(HttpResponse<String> response) throws IOException {
        try {
            return response.headers().firstValueAsLong("X-Consul-Index").orElse(0);
        } catch (NumberFormatException malformed) {
            throw new IOException("the agent's X-Consul-Index is no number", malformed);
        }
    }

    private static List<Address> addresses(String body) throws IOException {
        try {
            Entry[] entries = GSON.fromJson(body, Entry[].class);
            if (entries != null) {
                return Stream.of(entries).filter(Objects::nonNull).flatMap(Entry::address).toList();
            }
        } catch (JsonParseException malformed) {
            throw new IOException("the agent's answer is no JSON of instances", malformed);
        }
        throw new IOException("the agent's answer is empty");
    }

    /**
     * What the agent said.
     *
     * @param index that of the answer; 0 when there was none
     * @param addresses the passing instances
     */
    record Answer(long index, List<Address> addresses) {}

    private record Entry(Node node, Service service) {
        /** An instance without an address of its own is at that of its node; without a port it cannot be called. */
        Stream<Address> address() {
            if (service == null || !Address.isPort(service.port)) {
                return Stream.empty();
            }
            return Stream.of(service.address, node == null ? null : node.address)
                    .filter(address -> address != null && !address.isEmpty())
                    .limit(1)
                    .map(address -> new Address(address, service.port));
        }
    }

    private record Node(String address) {}

    private record Service(String address, int port) {}
}
