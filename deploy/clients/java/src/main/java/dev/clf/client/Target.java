package dev.clf.client;

import io.grpc.NameResolverRegistry;
import java.util.List;

/**
 * What a client is connected to.
 *
 * @param uri as gRPC wants it
 * @param resolvers those that know its scheme
 */
record Target(String uri, NameResolverRegistry resolvers) {
    /**
     * @param names servers, or one name for all of them
     * @throws IllegalArgumentException if they are neither
     */
    static Target of(List<String> names) {
        if (names.isEmpty()) {
            throw new IllegalArgumentException("Name at least one server");
        }
        String first = names.get(0);
        if (!first.contains("://")) {
            return listed(names.stream().map(Address::parse).toList());
        }
        if (names.size() > 1) {
            throw new IllegalArgumentException("'" + first + "' stands for all servers; name nothing beside it");
        }
        String scheme = first.substring(0, first.indexOf(':'));
        return ConsulTarget.SCHEMES.containsKey(scheme) ? consul(scheme, first) : known(scheme, first);
    }

    private static Target listed(List<Address> addresses) {
        NameResolverRegistry resolvers = new NameResolverRegistry();
        resolvers.register(new ListedServers(addresses));
        return new Target(ListedServers.SCHEME + ":///servers", resolvers);
    }

    private static Target consul(String scheme, String uri) {
        ConsulTarget.parse(uri);
        NameResolverRegistry resolvers = new NameResolverRegistry();
        resolvers.register(new ConsulNameResolverProvider(scheme));
        return new Target(uri, resolvers);
    }

    private static Target known(String scheme, String uri) {
        NameResolverRegistry resolvers = NameResolverRegistry.getDefaultRegistry();
        if (resolvers.getProviderForScheme(scheme) == null) {
            throw new IllegalArgumentException("Nothing here can find servers by '" + uri + "'; dns and consul can");
        }
        return new Target(uri, resolvers);
    }
}
