package dev.clf.client;

import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;

/**
 * What to ask which Consul agent.
 *
 * @param agent its URL
 * @param service the service's name
 * @param filters the further parameters of the query, by name: tag, dc
 */
record ConsulTarget(String agent, String service, Map<String, String> filters) {
    /** How a target begins, and how its agent is asked. */
    static final Map<String, String> SCHEMES = Map.of("consul", "http", "consul+https", "https");

    private static final int DEFAULT_PORT = 8500;

    /**
     * Reads {@code consul://agent-host:8500/service?tag=..&dc=..}.
     *
     * @throws IllegalArgumentException if it is nothing like that
     */
    static ConsulTarget parse(String text) {
        URI uri = URI.create(text);
        String path = uri.getRawPath();
        if (!SCHEMES.containsKey(uri.getScheme()) || uri.getHost() == null || !path.matches("/[^/]+")) {
            throw new IllegalArgumentException(
                    "Consul is asked as consul://agent-host:8500/service?tag=..&dc=.., not as '" + text + "'");
        }
        int port = uri.getPort() < 0 ? DEFAULT_PORT : uri.getPort();
        String agent = SCHEMES.get(uri.getScheme()) + "://" + uri.getHost() + ":" + port;
        return new ConsulTarget(agent, decoded(path.substring(1)), filters(uri.getRawQuery()));
    }

    /** Asks for the instances that are passing, as soon as there are others than at {@code index}. */
    URI query(long index, Duration wait) {
        StringBuilder query = new StringBuilder(agent);
        query.append("/v1/health/service/").append(encoded(service)).append("?passing=true");
        filters.forEach((name, value) -> query.append('&').append(name).append('=').append(encoded(value)));
        query.append("&index=").append(index).append("&wait=").append(wait.toSeconds()).append('s');
        return URI.create(query.toString());
    }

    private static Map<String, String> filters(String query) {
        Map<String, String> filters = new TreeMap<>();
        for (String part : query == null ? new String[0] : query.split("&")) {
            String[] pair = part.split("=", 2);
            if (pair.length != 2 || !(pair[0].equals("tag") || pair[0].equals("dc"))) {
                throw new IllegalArgumentException("Consul may be asked for a tag and a dc, not for '" + part + "'");
            }
            filters.put(pair[0], decoded(pair[1]));
        }
        return filters;
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }
}
