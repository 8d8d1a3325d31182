package dev.clf.client;

import io.grpc.CallOptions;
import io.grpc.LoadBalancer.PickResult;
import io.grpc.LoadBalancer.PickSubchannelArgs;
import io.grpc.LoadBalancer.Subchannel;
import io.grpc.LoadBalancer.SubchannelPicker;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Chooses a server for one attempt: one that the call has not tried and that answers, else one that it has not tried,
 * else any.
 */
final class AnsweringPicker extends SubchannelPicker {
    /** The servers that a call has been sent to; every call needs a set of its own. */
    static final CallOptions.Key<Set<Subchannel>> TRIED = CallOptions.Key.create("dev.clf.client.tried");

    // Other calls take some of the turns.
    private static final int MOST_TURNS = 8;

    private final SubchannelPicker turns;

    AnsweringPicker(SubchannelPicker turns) {
        this.turns = turns;
    }

    static CallOptions noneTried(CallOptions options) {
        return options.withOption(TRIED, ConcurrentHashMap.newKeySet());
    }

    @Override
    public PickResult pickSubchannel(PickSubchannelArgs args) {
        Set<Subchannel> tried = args.getCallOptions().getOption(TRIED);
        PickResult first = turns.pickSubchannel(args);
        if (tried == null || first.getSubchannel() == null) {
            return first; // not a call of ours, or no server is there
        }
        PickResult chosen = choose(first, tried, args);
        tried.add(chosen.getSubchannel());
        return chosen.copyWithStreamTracerFactory(Silence.of(chosen.getSubchannel()));
    }

    private PickResult choose(PickResult first, Set<Subchannel> tried, PickSubchannelArgs args) {
        PickResult untried = null;
        PickResult pick = first;
        for (int turn = 1; turn <= MOST_TURNS && pick.getSubchannel() != null; turn++) {
            if (!tried.contains(pick.getSubchannel())) {
                if (Silence.of(pick.getSubchannel()).mayBeAsked()) {
                    return pick;
                }
                untried = pick;
            }
            pick = turns.pickSubchannel(args);
        }
        return untried == null ? first : untried;
    }
}
