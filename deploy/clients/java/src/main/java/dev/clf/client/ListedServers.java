package dev.clf.client;

import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolver.Args;
import io.grpc.NameResolver.ResolutionResult;
import io.grpc.NameResolverProvider;
import io.grpc.Status;
import io.grpc.StatusOr;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Resolves the scheme of one channel to the servers that its user listed. Host names are looked up. */
final class ListedServers extends NameResolverProvider {
    static final String SCHEME = "listed";

    private final List<Address> addresses;

    ListedServers(List<Address> addresses) {
        this.addresses = addresses;
    }

    @Override
    protected boolean isAvailable() {
        return true;
    }

    @Override
    protected int priority() {
        return 5;
    }

    @Override
    public String getDefaultScheme() {
        return SCHEME;
    }

    @Override
    public Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
        return Set.of(InetSocketAddress.class);
    }

    @Override
    public NameResolver newNameResolver(URI uri, Args args) {
        return new Resolver(addresses, args);
    }

    private static final class Resolver extends NameResolver {
        private final List<Address> addresses;
        private final Args args;
        private Listener2 listener;
        private final Map<Address, EquivalentAddressGroup> known = new LinkedHashMap<>();
        private boolean looking;

        Resolver(List<Address> addresses, Args args) {
            this.addresses = addresses;
            this.args = args;
        }

        @Override
        public String getServiceAuthority() {
            return addresses.get(0).toString();
        }

        @Override
        public void start(Listener2 listener) {
            this.listener = listener;
            refresh();
        }

        @Override
        public void refresh() {
            if (!looking) {
                looking = true;
                args.getOffloadExecutor().execute(() -> {
                    Map<Address, EquivalentAddressGroup> found = Address.resolve(addresses);
                    args.getSynchronizationContext().execute(() -> tell(found));
                });
            }
        }

        @Override
        public void shutdown() {}

        /** Says what is new. A host that is unknown now but was known before is better kept. */
        private void tell(Map<Address, EquivalentAddressGroup> found) {
            looking = false;
            Map<Address, EquivalentAddressGroup> before = Map.copyOf(known);
            known.putAll(found);
            if (known.isEmpty()) {
                tell(StatusOr.fromStatus(
                        Status.UNAVAILABLE.withDescription("None of these hosts is known: " + addresses)));
            } else if (!known.equals(before)) {
                tell(StatusOr.fromValue(List.copyOf(known.values())));
            }
        }

        private void tell(StatusOr<List<EquivalentAddressGroup>> addressesOrError) {
            listener.onResult2(ResolutionResult.newBuilder()
                    .setAddressesOrError(addressesOrError)
                    .build());
        }
    }
}
