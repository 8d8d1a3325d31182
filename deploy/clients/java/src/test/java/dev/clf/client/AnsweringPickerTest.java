package dev.clf.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import clf.v1.Document;
import io.grpc.Attributes;
import io.grpc.CallOptions;
import io.grpc.ClientStreamTracer;
import io.grpc.ClientStreamTracer.StreamInfo;
import io.grpc.LoadBalancer.PickResult;
import io.grpc.LoadBalancer.PickSubchannelArgs;
import io.grpc.LoadBalancer.Subchannel;
import io.grpc.LoadBalancer.SubchannelPicker;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

/** Which server an attempt goes to. */
class AnsweringPickerTest {
    private final Server one = new Server();
    private final Server two = new Server();
    private final AnsweringPicker picker = new AnsweringPicker(turns(one, two));

    @Test
    void theAttemptsOfACallGoToDifferentServers() {
        for (int call = 0; call < 10; call++) {
            Call attempts = new Call();
            Subchannel first = attempts.next();
            new Call().next(); // somebody else's call moves the turn
            assertNotEquals(first, attempts.next());
        }
    }

    @Test
    void whenAllWereTriedAnyIsTriedAgain() {
        Call attempts = new Call();
        assertEquals(Set.of(one, two), Set.of(attempts.next(), attempts.next()));
        assertTrue(Set.of(one, two).contains(attempts.next()));
    }

    @Test
    void aSilentServerIsAskedOnlyWhenTheOthersWereTried() {
        one.leavesUnanswered(3);
        for (int call = 0; call < 10; call++) {
            Call attempts = new Call();
            assertSame(two, attempts.next());
            assertSame(one, attempts.next());
        }
    }

    @Test
    void aServerThatAnswersAgainIsSilentNoMore() {
        one.leavesUnanswered(3);
        one.answers();
        assertEquals(Set.of(one, two), Set.of(new Call().next(), new Call().next()));
    }

    @Test
    void whenAllAreSilentTheyAreAskedInTurn() {
        one.leavesUnanswered(3);
        two.leavesUnanswered(3);
        assertTrue(Set.of(one, two).contains(new Call().next()));
    }

    @Test
    void whenThereIsNoServerThePolicyBelowSaysWhatHappens() {
        PickResult failing = PickResult.withError(Status.UNAVAILABLE);
        assertSame(failing, new AnsweringPicker(new Fixed(failing)).pickSubchannel(new Call()));
    }

    private static SubchannelPicker turns(Server... servers) {
        AtomicInteger turn = new AtomicInteger();
        return new SubchannelPicker() {
            @Override
            public PickResult pickSubchannel(PickSubchannelArgs args) {
                return PickResult.withSubchannel(servers[turn.getAndIncrement() % servers.length]);
            }
        };
    }

    private static final class Fixed extends SubchannelPicker {
        private final PickResult result;

        Fixed(PickResult result) {
            this.result = result;
        }

        @Override
        public PickResult pickSubchannel(PickSubchannelArgs args) {
            return result;
        }
    }

    private static final class Server extends Subchannel {
        private final Silence silence = new Silence();

        void leavesUnanswered(int attempts) {
            for (int attempt = 0; attempt < attempts; attempt++) {
                ClientStreamTracer tracer = attempt();
                long began = System.nanoTime();
                while (System.nanoTime() - began < Channels.HEDGING_DELAY.toNanos()) {
                    LockSupport.parkNanos(Channels.HEDGING_DELAY.toNanos());
                }
                tracer.streamClosed(Status.CANCELLED);
            }
        }

        void answers() {
            attempt().inboundHeaders();
        }

        private ClientStreamTracer attempt() {
            return silence.newClientStreamTracer(StreamInfo.newBuilder().build(), new Metadata());
        }

        @Override
        public Attributes getAttributes() {
            return Attributes.newBuilder().set(Silence.OF_SERVER, silence).build();
        }

        @Override
        public void shutdown() {}

        @Override
        public void requestConnection() {}
    }

    /** One call; each question is one attempt of it. */
    private final class Call extends PickSubchannelArgs {
        private final CallOptions options = AnsweringPicker.noneTried(CallOptions.DEFAULT);

        Subchannel next() {
            return picker.pickSubchannel(this).getSubchannel();
        }

        @Override
        public CallOptions getCallOptions() {
            return options;
        }

        @Override
        public Metadata getHeaders() {
            return new Metadata();
        }

        @Override
        public MethodDescriptor<Document, ?> getMethodDescriptor() {
            return Methods.CLASSIFY;
        }
    }
}
