package dev.clf.client;

import static dev.clf.client.Eventually.eventually;

import com.google.gson.Gson;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A {@code clf serve} of a test. The system properties clf.command and clf.models say what is run on which models. */
final class RealServer implements AutoCloseable {
    static final String COMMAND = "clf.command";
    static final String MISSING = "There is no server to test against: give -Dclf.command=PATH and -Dclf.models=STORE";

    private static final Duration START_TIMEOUT = Duration.ofSeconds(60);
    private static final Duration STOP_TIMEOUT = Duration.ofSeconds(20);
    private static final Pattern CALLS =
            Pattern.compile("^grpc_server_handled_total\\{.*} ([0-9.e+]+)$", Pattern.MULTILINE);
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    private final Path serviceFile;
    private final Path log;
    private final Process process;
    private Map<String, String> services = Map.of();

    private RealServer(Path directory, List<String> options) throws IOException {
        this.serviceFile = Files.createTempFile(directory, "service", ".json");
        this.log = Files.createTempFile(directory, "server", ".log");
        Files.delete(serviceFile);
        List<String> command = new ArrayList<>(List.of(System.getProperty(COMMAND), "serve", "--http-port", "0"));
        command.addAll(List.of("--models", System.getProperty("clf.models")));
        command.addAll(List.of("--service-file", serviceFile.toString()));
        command.addAll(options);
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
        builder.environment().put("TMPDIR", directory.toString()); // what it would have removed itself goes with that
        this.process = builder.start();
    }

    /** Starts one on any port; {@link #awaitStarted} tells when it is there. */
    static RealServer launch(Path directory, String... options) throws IOException {
        return launchAt(0, directory, options);
    }

    static RealServer launchAt(int port, Path directory, String... options) throws IOException {
        return new RealServer(
                directory,
                Stream.concat(Stream.of("--grpc-port", Integer.toString(port)), Stream.of(options)).toList());
    }

    RealServer awaitStarted() throws Exception {
        eventually("the server has started", START_TIMEOUT, () -> {
            if (!process.isAlive()) {
                throw new IllegalStateException("clf serve ended:\n" + Files.readString(log));
            }
            return Files.exists(serviceFile);
        });
        services = new Gson().fromJson(Files.readString(serviceFile), ServiceFile.class).services;
        return this;
    }

    String address() {
        return services.get("clf-grpc");
    }

    int port() {
        return Address.parse(address()).port();
    }

    /** How many calls it has answered, whatever the answer. */
    long handled() throws Exception {
        return (long) CALLS.matcher(get("/metrics").body())
                .results()
                .mapToDouble(match -> Double.parseDouble(match.group(1)))
                .sum();
    }

    boolean ready() throws Exception {
        return get("/ready").status() == 200;
    }

    /** Takes the processor from it: its connections stay, nothing answers. */
    void freeze() throws Exception {
        signal("STOP");
        eventually("every thread of the server stands still", STOP_TIMEOUT, () -> processes()
                .allMatch(RealServer::standsStill));
    }

    void thaw() throws Exception {
        signal("CONT");
    }

    /** Asks it to stop; it goes on for as long as --lame-duck says. */
    void terminate() {
        process.destroy();
    }

    void awaitEnded() throws InterruptedException {
        if (!process.waitFor(STOP_TIMEOUT.toSeconds(), TimeUnit.SECONDS)) {
            throw new IllegalStateException("clf serve does not end");
        }
    }

    /** Ends it at once, frozen or not. */
    @Override
    public void close() {
        processes().toList().forEach(ProcessHandle::destroyForcibly);
        process.onExit().join();
    }

    private Response get(String path) throws IOException, InterruptedException {
        URI uri = URI.create("http://" + services.get("clf-health") + path);
        var response = HTTP.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString());
        return new Response(response.statusCode(), response.body());
    }

    private Stream<ProcessHandle> processes() {
        return Stream.concat(Stream.of(process.toHandle()), process.descendants());
    }

    private void signal(String name) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("kill", "-" + name));
        processes().forEach(handle -> command.add(Long.toString(handle.pid())));
        new ProcessBuilder(command).start().waitFor();
    }

    private static boolean standsStill(ProcessHandle handle) {
        try (Stream<Path> threads = Files.list(Path.of("/proc", Long.toString(handle.pid()), "task"))) {
            for (Path thread : threads.toList()) {
                String state = Files.readString(thread.resolve("stat"));
                if (state.charAt(state.lastIndexOf(')') + 2) != 'T') {
                    return false;
                }
            }
            return true;
        } catch (IOException gone) {
            throw new UncheckedIOException(gone);
        }
    }

    private record ServiceFile(Map<String, String> services) {}

    private record Response(int status, String body) {}
}
