package dev.clf.client;

import static dev.clf.client.Eventually.eventually;
import static dev.clf.client.FakeConsul.instance;
import static dev.clf.client.FakeConsul.instances;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.clf.client.ConsulNameResolver.Pace;
import dev.clf.client.FakeConsul.Answer;
import io.grpc.NameResolver.Listener2;
import io.grpc.NameResolver.ResolutionResult;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.SynchronizationContext;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** How the resolver follows Consul, against an agent that plays what it is told to. */
class ConsulNameResolverTest {
    private static final Pace FAST = new Pace(
            Duration.ofSeconds(55), Duration.ZERO, Duration.ofMillis(1), Duration.ofMillis(4), Duration.ofHours(1));
    private static final Answer TROUBLE = new Answer(500, null, "no leader");

    private final Told told = new Told();
    private FakeConsul consul;
    private ConsulNameResolver resolver;

    @BeforeEach
    void open() throws IOException {
        consul = new FakeConsul();
    }

    @AfterEach
    void close() {
        if (resolver != null) {
            resolver.shutdown();
        }
        consul.close();
    }

    @Test
    void asksForThePassingInstancesAndTellsThem() throws Exception {
        consul.answers(instances(7, "10.1.0.1:50051", "10.1.0.2:50052"));
        start("clf-grpc?tag=eu%20west&dc=one");
        assertEquals(
                "passing=true&dc=one&tag=eu%20west&index=0&wait=55s",
                consul.question().query());
        assertEquals("[10.1.0.1:50051, 10.1.0.2:50052]", told.next());
    }

    @Test
    void anInstanceWithoutAnAddressIsAtItsNode() throws Exception {
        consul.answers(new Answer(200, "7", "[" + instance("10.0.0.9", "", 50051) + "]"));
        start("clf-grpc");
        assertEquals("[10.0.0.9:50051]", told.next());
    }

    @Test
    void anInstanceThatCannotBeCalledIsLeftOut() throws Exception {
        consul.answers(new Answer(200, "7", "[{}, " + instance("n", "a", 0) + "," + instance("", "10.1.0.1", 1) + "]"));
        start("clf-grpc");
        assertEquals("[10.1.0.1:1]", told.next());
    }

    @Test
    void asksForWhatIsNewerThanTheLastAnswer() throws Exception {
        consul.answers(instances(7, "10.1.0.1:1"));
        consul.answers(instances(9, "10.1.0.2:2"));
        start("clf-grpc");
        assertEquals("0", index());
        assertEquals("7", index());
        assertEquals("9", index());
        assertEquals("[10.1.0.1:1]", told.next());
        assertEquals("[10.1.0.2:2]", told.next());
    }

    @Test
    void startsAnewWhenTheIndexGoesBackwards() throws Exception {
        consul.answers(instances(7, "10.1.0.1:1"));
        consul.answers(instances(3, "10.1.0.2:2"));
        start("clf-grpc");
        assertEquals("0", index());
        assertEquals("7", index());
        assertEquals("0", index());
    }

    @Test
    void keepsTheLastKnownWhenConsulIsInTrouble() throws Exception {
        consul.answers(instances(7, "10.1.0.1:1"));
        consul.answers(TROUBLE);
        consul.answers(new Answer(200, "8", "<html>"));
        consul.answers(new Answer(200, "none", "[]"));
        consul.answers(new Answer(200, "8", ""));
        consul.answers(instances(9, "10.1.0.2:2"));
        start("clf-grpc");
        assertEquals(List.of("0", "7", "0", "0", "0", "0", "9"), indexes(7));
        assertEquals("[10.1.0.1:1]", told.next());
        assertEquals("[10.1.0.2:2]", told.next());
    }

    @Test
    void saysSoWhenNothingIsKnownYet() throws Exception {
        consul.answers(TROUBLE);
        consul.answers(instances(3));
        consul.answers(instances(4, "10.1.0.1:1"));
        start("clf-grpc");
        assertEquals(
                Code.UNAVAILABLE + ": Consul cannot be asked for clf-grpc: the agent answered with status 500",
                told.next());
        assertEquals(Code.UNAVAILABLE + ": Consul knows no passing instance of clf-grpc", told.next());
        assertEquals("[10.1.0.1:1]", told.next());
    }

    @Test
    void keepsTheLastKnownWhenNoneIsPassing() throws Exception {
        consul.answers(instances(7, "10.1.0.1:1"));
        consul.answers(instances(8));
        consul.answers(instances(9));
        consul.answers(instances(10, "10.1.0.2:2"));
        start("clf-grpc");
        assertEquals("[10.1.0.1:1]", told.next());
        assertEquals("[10.1.0.2:2]", told.next());
    }

    @Test
    void givesThemUpWhenNoneHasBeenPassingForLong() throws Exception {
        consul.answers(instances(7, "10.1.0.1:1"));
        consul.answers(instances(8));
        consul.answers(instances(9));
        Pace impatient = new Pace(FAST.patience(), FAST.least(), FAST.firstPause(), FAST.longestPause(), Duration.ZERO);
        start("clf-grpc", Optional.empty(), impatient);
        assertEquals("[10.1.0.1:1]", told.next());
        assertEquals(Code.UNAVAILABLE + ": Consul knows no passing instance of clf-grpc", told.next());
    }

    @Test
    void theTokenGoesToTheAgentInItsHeader() throws Exception {
        start("clf-grpc", Optional.of("secret"), FAST);
        FakeConsul.Question question = consul.question();
        assertEquals("secret", question.token());
        assertFalse(question.query().contains("secret"));
    }

    @Test
    void withoutATokenThereIsNoHeader() throws Exception {
        start("clf-grpc");
        assertNull(consul.question().token());
    }

    @Test
    void shutdownEndsTheThreadThatWaits() throws Exception {
        start("clf-grpc");
        consul.question();
        assertTrue(following());
        resolver.shutdown();
        eventually("the thread has ended", Duration.ofSeconds(20), () -> !following());
    }

    @Test
    void pausesGrowToTheirLimit() {
        for (int failures = 1; failures < 40; failures++) {
            long whole = Math.min(500L << Math.min(failures - 1, 20), 30_000);
            long pause = Pace.DEFAULT.pause(failures).toMillis();
            assertTrue(pause >= whole / 2 && pause <= whole, failures + " failures: " + pause + " ms");
        }
    }

    private void start(String rest) {
        start(rest, Optional.empty(), FAST);
    }

    private void start(String rest, Optional<String> token, Pace pace) {
        ConsulTarget target = ConsulTarget.parse(consul.target(rest));
        SynchronizationContext synchronizing = new SynchronizationContext((thread, failure) -> told.failure(failure));
        resolver = new ConsulNameResolver(target.service(), new ConsulCatalog(target, token), synchronizing, pace);
        resolver.start(told);
    }

    private String index() throws InterruptedException {
        return consul.question().query().replaceAll(".*index=(\\d+)&.*", "$1");
    }

    private List<String> indexes(int count) throws InterruptedException {
        String[] indexes = new String[count];
        for (int i = 0; i < count; i++) {
            indexes[i] = index();
        }
        return List.of(indexes);
    }

    private static boolean following() {
        return Thread.getAllStackTraces().keySet().stream()
                .anyMatch(thread -> thread.getName().equals("clf-consul-clf-grpc"));
    }

    /** What a channel is told, as text, in its order. */
    private static final class Told extends Listener2 {
        private final BlockingQueue<String> all = new LinkedBlockingQueue<>();

        String next() throws InterruptedException {
            return all.poll(20, TimeUnit.SECONDS);
        }

        void failure(Throwable failure) {
            all.add(failure.toString());
        }

        @Override
        public void onResult(ResolutionResult result) {
            var addresses = result.getAddressesOrError();
            all.add(addresses.hasValue()
                    ? addresses.getValue().stream()
                            .map(group -> (InetSocketAddress) group.getAddresses().get(0))
                            .map(address -> address.getAddress().getHostAddress() + ":" + address.getPort())
                            .toList()
                            .toString()
                    : addresses.getStatus().getCode() + ": " + addresses.getStatus().getDescription());
        }

        @Override
        public void onError(Status error) {
            all.add("onError: " + error);
        }
    }
}
