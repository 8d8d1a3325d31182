package dev.clf.client;

import io.grpc.NameResolver;
import io.grpc.NameResolver.Args;
import io.grpc.NameResolverProvider;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.util.Collection;
import java.util.Set;

/** Makes a {@link ConsulNameResolver} of {@code consul://agent-host:8500/service?tag=..&dc=..}. */
final class ConsulNameResolverProvider extends NameResolverProvider {
    private final String scheme;

    /** Serves one of {@link ConsulTarget#SCHEMES}. */
    ConsulNameResolverProvider(String scheme) {
        this.scheme = scheme;
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
        return scheme;
    }

    @Override
    public Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
        return Set.of(InetSocketAddress.class);
    }

    @Override
    public NameResolver newNameResolver(URI uri, Args args) {
        ConsulTarget target = ConsulTarget.parse(uri.toString());
        ConsulCatalog catalog = new ConsulCatalog(target, ConsulCatalog.tokenOfThisProcess());
        return new ConsulNameResolver(
                target.service(), catalog, args.getSynchronizationContext(), ConsulNameResolver.Pace.DEFAULT);
    }
}
