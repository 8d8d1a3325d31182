package dev.clf.client;

import static dev.clf.client.Load.document;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import clf.v1.Classification;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.ServerCalls;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;

/** What a caller's interceptor does reaches the server, as a trace must. */
class InterceptorsTest {
    private static final Metadata.Key<String> TRACE =
            Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER);
    private static final String CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    @Test
    void everyAttemptCarriesTheContextOfTheCaller() throws Exception {
        Metadata headers = new Metadata();
        headers.put(TRACE, CONTEXT);
        Refusing refusing = new Refusing();
        Server server = refusing.start();
        try (ClassifierClient client = ClassifierClient.builder("127.0.0.1:" + server.getPort())
                .interceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
                .timeout(Duration.ofSeconds(10))
                .build()) {
            assertEquals("a", client.classify(document("a")).getUrl());
        } finally {
            server.shutdownNow();
        }
        assertTrue(refusing.seen.size() > 1, "the refused call was not tried again");
        assertEquals(Set.of(CONTEXT), Set.copyOf(refusing.seen));
    }

    /** Keeps the context of every attempt, and refuses the first one. */
    private static final class Refusing implements ServerInterceptor {
        private final List<String> seen = new CopyOnWriteArrayList<>();

        private Server start() throws Exception {
            ServerServiceDefinition service = ServerServiceDefinition.builder(Methods.SERVICE)
                    .addMethod(Methods.CLASSIFY, ServerCalls.asyncUnaryCall((document, reply) -> {
                        if (seen.size() == 1) {
                            reply.onError(Status.UNAVAILABLE.asRuntimeException());
                            return;
                        }
                        reply.onNext(Classification.newBuilder().setUrl(document.getUrl()).build());
                        reply.onCompleted();
                    }))
                    .build();
            return Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                    .addService(service)
                    .intercept(this)
                    .build()
                    .start();
        }

        @Override
        public <Q, R> ServerCall.Listener<Q> interceptCall(
                ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
            if (call.getMethodDescriptor().getServiceName().equals(Methods.SERVICE)) {
                seen.add(headers.get(TRACE));
            }
            return next.startCall(call, headers);
        }
    }
}
