package dev.clf.client;

import io.grpc.Attributes;
import io.grpc.EquivalentAddressGroup;
import java.net.InetSocketAddress;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

/** Where one server is. The host is a name, or an IP address without brackets. */
record Address(String host, int port) {
    private static final int MAX_PORT = 65_535;

    Address {
        if (host.isEmpty() || !isPort(port)) {
            throw new IllegalArgumentException("No server can be at host '" + host + "', port " + port);
        }
    }

    static boolean isPort(int port) {
        return port >= 1 && port <= MAX_PORT;
    }

    /**
     * Reads {@code "host:port"} or {@code "[ipv6]:port"}.
     *
     * @throws IllegalArgumentException if it is neither
     */
    static Address parse(String text) {
        int colon = text.lastIndexOf(':');
        try {
            String host = text.substring(0, colon);
            boolean bracketed = host.startsWith("[") && host.endsWith("]");
            if (bracketed == host.contains(":")) {
                return new Address(
                        bracketed ? host.substring(1, host.length() - 1) : host,
                        Integer.parseInt(text.substring(colon + 1)));
            }
        } catch (IndexOutOfBoundsException | IllegalArgumentException notThat) {
            // said below
        }
        throw new IllegalArgumentException("A server is named as host:port, or [ipv6]:port, not as '" + text + "'");
    }

    /** Looks names up, which may take its time. What is unknown is left out. */
    static Map<Address, EquivalentAddressGroup> resolve(Collection<Address> addresses) {
        Map<Address, EquivalentAddressGroup> found = new LinkedHashMap<>();
        for (Address address : addresses) {
            InetSocketAddress socket = new InetSocketAddress(address.host, address.port);
            if (!socket.isUnresolved()) {
                found.put(address, new EquivalentAddressGroup(socket, address.named()));
            }
        }
        return found;
    }

    /** With TLS, the certificate must be for this host, not for what all of them are called together. */
    private Attributes named() {
        return Attributes.newBuilder()
                .set(EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE, toString())
                .build();
    }

    @Override
    public String toString() {
        return (host.contains(":") ? "[" + host + "]" : host) + ":" + port;
    }
}
