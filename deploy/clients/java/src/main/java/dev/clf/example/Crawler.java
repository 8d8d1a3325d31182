package dev.clf.example;

import clf.v1.Classification;
import clf.v1.Document;
import com.google.gson.Gson;
import com.google.gson.JsonParseException;
import dev.clf.client.ClassifierClient;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** A crawler that asks about each of its pages before it goes on, and cannot wait longer than 100 ms for the answer. */
public final class Crawler {
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    private final ClassifierClient client;
    private final PrintStream out;
    private final List<Double> milliseconds = new ArrayList<>();
    private final Map<String, Integer> outcomes = new TreeMap<>();

    private Crawler(ClassifierClient client, PrintStream out) {
        this.client = client;
        this.out = out;
    }

    /**
     * Classifies the pages of a file, or three of its own.
     *
     * @param arguments a target as {@link ClassifierClient#builder} takes it, or several servers with commas between
     *     them; and a file of JSON lines
     */
    public static void main(String[] arguments) throws InterruptedException {
        if (arguments.length < 1 || arguments.length > 2) {
            throw usage("Name what to call.");
        }
        try (ClassifierClient client = ClassifierClient.builder(arguments[0].split(",")).build();
                Stream<Page> pages = arguments.length > 1 ? read(Path.of(arguments[1])) : Page.samples()) {
            if (!client.awaitReady(PATIENCE)) {
                System.err.println("No server is ready; trying all the same.");
            }
            Crawler crawler = new Crawler(client, System.out);
            pages.forEach(crawler::visit);
            crawler.summary();
        } catch (IOException | UncheckedIOException | IllegalArgumentException unusable) {
            throw usage(unusable.getMessage());
        }
    }

    private static IllegalStateException usage(String reason) {
        System.err.println(reason);
        System.err.println("Usage: Crawler HOST:PORT[,HOST:PORT]... | consul://AGENT:8500/clf-grpc [FILE.jsonl]");
        System.exit(2);
        return new IllegalStateException("not reached");
    }

    private static Stream<Page> read(Path file) throws IOException {
        Gson gson = new Gson();
        return Files.lines(file).filter(line -> !line.isBlank()).map(line -> {
            try {
                return gson.fromJson(line, Page.class);
            } catch (JsonParseException malformed) {
                throw new IllegalArgumentException(file + " has a line that is no page", malformed);
            }
        });
    }

    private void visit(Page page) {
        long began = System.nanoTime();
        String outcome;
        String said;
        try {
            Classification result = client.classify(page.document());
            outcome = result.getStatus().name();
            said = String.join(",", result.getLabelsList());
        } catch (StatusRuntimeException failure) {
            outcome = failure.getStatus().getCode().name();
            said = failure.getStatus().getDescription();
        }
        double took = (System.nanoTime() - began) / 1e6;
        milliseconds.add(took);
        outcomes.merge(outcome, 1, Integer::sum);
        out.printf("%s  %s  [%s]  %.1f ms%n", page.url, outcome, said, took);
    }

    private void summary() {
        Collections.sort(milliseconds);
        out.printf("%d pages: %s%n", milliseconds.size(), outcomes);
        if (!milliseconds.isEmpty()) {
            out.printf("p50 %.1f ms  p90 %.1f ms  p99 %.1f ms  max %.1f ms%n", at(0.5), at(0.9), at(0.99), at(1));
        }
    }

    private double at(double share) {
        return milliseconds.get((int) Math.ceil(share * milliseconds.size()) - 1);
    }

    private record Page(String url, String title, String text, String lang) {
        static Stream<Page> samples() {
            return Stream.of(
                    new Page("https://example.org/final", "Cup final", "The striker scored a late goal.", "en"),
                    new Page("https://example.org/wahl", "Wahl", "Die Regierung verlor die Mehrheit.", "de"),
                    new Page("https://example.org/cine", "Cine", "La película ganó el premio.", "es"));
        }

        Document document() {
            Document.Builder document = Document.newBuilder();
            given(url, document::setUrl);
            given(title, document::setTitle);
            given(text, document::setText);
            given(lang, document::setLang);
            return document.build();
        }

        private static void given(String value, Consumer<String> field) {
            if (value != null) {
                field.accept(value);
            }
        }
    }
}
