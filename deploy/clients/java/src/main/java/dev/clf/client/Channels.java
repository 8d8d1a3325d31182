package dev.clf.client;

import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.LoadBalancerRegistry;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.math.BigDecimal;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** Opens channels that keep to the policy of the 100 ms path. */
final class Channels {
    static final Duration HEDGING_DELAY = Duration.ofMillis(20);

    private static final double MAX_ATTEMPTS = 4;
    // What another server may do better. CANCELLED is what gRPC's core answers in a flood, before clf sees the call.
    private static final List<String> NON_FATAL = List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED");
    // No further attempts while more than one in ten fails: 50 failures in excess stop them, so that a sick fleet is
    // not made sicker.
    private static final double MAX_TOKENS = 100;
    private static final double TOKENS_PER_SUCCESS = 0.1;

    // gRPC for Java pings no more often than every 10 s, whatever it is told: a frozen server keeps its connection for
    // 11 s, and further attempts answer in its place.
    private static final int PING_SECONDS = 1;
    // An attempt is only repeated while its request is still in memory; servers take 4 MiB by default.
    private static final long CALL_BUFFER_BYTES = 16L << 20;
    private static final long BUFFER_BYTES = 256L << 20;
    private static final int NEVER_IDLE_DAYS = 30;

    static {
        LoadBalancerRegistry.getDefaultRegistry().register(new AnsweringServers());
    }

    private Channels() {}

    static ManagedChannel open(
            Target target,
            ChannelCredentials credentials,
            String authority,
            Executor executor,
            List<ClientInterceptor> interceptors) {
        ManagedChannelBuilder<?> builder = Grpc.newChannelBuilder(target.uri(), credentials, target.resolvers())
                .userAgent("clf-java")
                .disableServiceConfigLookUp()
                .defaultServiceConfig(serviceConfig())
                .intercept(interceptors)
                .enableRetry()
                .perRpcBufferLimit(CALL_BUFFER_BYTES)
                .retryBufferSize(BUFFER_BYTES)
                .keepAliveTime(PING_SECONDS, TimeUnit.SECONDS)
                .keepAliveTimeout(PING_SECONDS, TimeUnit.SECONDS)
                .keepAliveWithoutCalls(true)
                .idleTimeout(NEVER_IDLE_DAYS, TimeUnit.DAYS);
        if (authority != null) {
            builder.overrideAuthority(authority);
        }
        if (executor != null) {
            builder.executor(executor);
        }
        return builder.build();
    }

    private static Map<String, ?> serviceConfig() {
        Map<String, ?> hedging = Map.of(
                "maxAttempts", MAX_ATTEMPTS, "hedgingDelay", seconds(HEDGING_DELAY), "nonFatalStatusCodes", NON_FATAL);
        List<?> services = List.of(Map.of("service", Methods.SERVICE));
        return Map.of(
                "loadBalancingConfig", List.of(Map.of(AnsweringServers.NAME, Map.of())),
                "healthCheckConfig", Map.of("serviceName", Methods.SERVICE),
                "retryThrottling", Map.of("maxTokens", MAX_TOKENS, "tokenRatio", TOKENS_PER_SUCCESS),
                "methodConfig", List.of(Map.of("name", services, "hedgingPolicy", hedging)));
    }

    /** As JSON has durations in protobuf. */
    private static String seconds(Duration duration) {
        return BigDecimal.valueOf(duration.toNanos(), 9).toPlainString() + "s";
    }
}
