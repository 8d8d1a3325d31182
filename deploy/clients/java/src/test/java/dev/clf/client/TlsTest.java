package dev.clf.client;

import static dev.clf.client.Load.document;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static java.lang.ProcessBuilder.Redirect.DISCARD;
import static org.junit.jupiter.api.Assumptions.abort;

import clf.v1.Status;
import io.grpc.ChannelCredentials;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** A server with a certificate for localhost, which the test makes. */
@EnabledIfSystemProperty(named = RealServer.COMMAND, matches = ".+", disabledReason = RealServer.MISSING)
class TlsTest {
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    private static RealServer server;
    private static Path certificate;

    @BeforeAll
    static void start(@TempDir Path directory) throws Exception {
        certificate = directory.resolve("cert.pem");
        Path key = directory.resolve("key.pem");
        makeCertificate(key);
        server = RealServer.launch(directory, "--tls-cert", certificate.toString(), "--tls-key", key.toString())
                .awaitStarted();
    }

    @AfterAll
    static void stop() throws Exception {
        if (server != null) {
            server.close();
        }
    }

    private static void makeCertificate(Path key) throws Exception {
        ProcessBuilder openssl = new ProcessBuilder(
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", key.toString(), "-out", certificate.toString(), "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost");
        try {
            assertEquals(0, openssl.redirectOutput(DISCARD).redirectError(DISCARD).start().waitFor());
        } catch (IOException absent) {
            abort("There is no openssl to make a certificate with: " + absent.getMessage());
        }
    }

    @Test
    void theServersOwnNameIsChecked() throws Exception {
        ChannelCredentials trusting = TlsChannelCredentials.newBuilder().trustManager(certificate.toFile()).build();
        try (ClassifierClient client = ClassifierClient.builder("localhost:" + server.port())
                .credentials(trusting)
                .timeout(PATIENCE)
                .build()) {
            assertTrue(client.awaitReady(PATIENCE));
            assertEquals(Status.STATUS_CLASSIFIED, client.classify(document("a")).getStatus());
        }
    }

    @Test
    void aNameForAllServersIsCheckedInstead() throws Exception {
        ChannelCredentials trusting = TlsChannelCredentials.newBuilder().trustManager(certificate.toFile()).build();
        try (ClassifierClient client = ClassifierClient.builder("127.0.0.1:" + server.port())
                .credentials(trusting)
                .authority("localhost")
                .timeout(PATIENCE)
                .build()) {
            assertTrue(client.awaitReady(PATIENCE));
            assertEquals(Status.STATUS_CLASSIFIED, client.classify(document("a")).getStatus());
        }
    }

    @Test
    void aCertificateForAnotherNameIsRefused() throws Exception {
        ChannelCredentials trusting = TlsChannelCredentials.newBuilder().trustManager(certificate.toFile()).build();
        refused("127.0.0.1:" + server.port(), trusting);
    }

    @Test
    void aCertificateOfNobodyKnownIsRefused() throws Exception {
        refused("localhost:" + server.port(), TlsChannelCredentials.create());
    }

    private static void refused(String target, ChannelCredentials credentials) {
        try (ClassifierClient client = ClassifierClient.builder(target)
                .credentials(credentials)
                .timeout(PATIENCE)
                .build()) {
            var failure = assertThrows(StatusRuntimeException.class, () -> client.classify(document("a")));
            assertEquals(Code.UNAVAILABLE, failure.getStatus().getCode());
        }
    }
}
