package dev.clf.client;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** Plays a Consul agent: answers questions about the service with what it was given, and waits when it has nothing. */
final class FakeConsul implements AutoCloseable {
    private static final String PATH = "/v1/health/service/clf-grpc";

    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final BlockingQueue<Answer> answers = new LinkedBlockingQueue<>();
    private final BlockingQueue<Question> questions = new LinkedBlockingQueue<>();

    FakeConsul() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", this::handle);
        server.setExecutor(threads);
        server.start();
    }

    /** The instances at these addresses, as Consul would tell them. */
    static Answer instances(long index, String... addresses) {
        String entries = Arrays.stream(addresses)
                .map(Address::parse)
                .map(address -> instance("10.0.0.1", address.host(), address.port()))
                .collect(Collectors.joining(","));
        return new Answer(200, Long.toString(index), "[" + entries + "]");
    }

    static String instance(String node, String address, int port) {
        return """
                {"Node": {"Node": "n", "Address": "%s"},
                 "Service": {"Service": "clf-grpc", "Address": "%s", "Port": %d}, "Checks": []}"""
                .formatted(node, address, port);
    }

    String target(String rest) {
        return "consul://127.0.0.1:" + server.getAddress().getPort() + "/" + rest;
    }

    void answers(Answer answer) {
        answers.add(answer);
    }

    /** The next question that came, in its order. */
    Question question() throws InterruptedException {
        Question question = questions.poll(20, TimeUnit.SECONDS);
        if (question == null) {
            throw new AssertionError("Consul was not asked");
        }
        return question;
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            questions.add(new Question(
                    exchange.getRequestURI().getRawQuery(), exchange.getRequestHeaders().getFirst("X-Consul-Token")));
            boolean known = exchange.getRequestMethod().equals("GET")
                    && exchange.getRequestURI().getPath().equals(PATH);
            Answer answer = known ? answers.take() : new Answer(404, null, "no such path");
            if (answer.index != null) {
                exchange.getResponseHeaders().set("X-Consul-Index", answer.index);
            }
            byte[] body = answer.body.getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(answer.status, body.length);
            exchange.getResponseBody().write(body);
        } catch (InterruptedException closed) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }

    record Answer(int status, String index, String body) {}

    record Question(String query, String token) {}
}
