package dev.clf.client;

import io.grpc.ClientCall;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;

/** The answer of a call that is under way, as the JDK has such things. */
final class Reply<R> extends CompletableFuture<R> {
    private final ClientCall<?, R> call;

    private Reply(ClientCall<?, R> call) {
        this.call = call;
    }

    static <Q, R> Reply<R> to(ClientCall<Q, R> call, Q request) {
        Reply<R> reply = new Reply<>(call);
        ClientCalls.asyncUnaryCall(call, request, reply.observer());
        return reply;
    }

    @Override
    public boolean cancel(boolean mayInterruptIfRunning) {
        boolean cancelled = super.cancel(mayInterruptIfRunning);
        if (cancelled) {
            call.cancel("nobody waits for the answer any more", null);
        }
        return cancelled;
    }

    private StreamObserver<R> observer() {
        return new StreamObserver<>() {
            private R value;

            @Override
            public void onNext(R message) {
                value = message;
            }

            @Override
            public void onError(Throwable failure) {
                completeExceptionally(failure);
            }

            @Override
            public void onCompleted() {
                complete(value);
            }
        };
    }
}
