#!/usr/bin/env python3
"""Whether the `clf worker` or `clf serve` of this container is alive: /status on every health port it took.

The service file (CLF_SERVICE_FILE) tells the ports. Needs the standard library only, since it starts every few seconds.
"""

import json
import os
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

TIMEOUT_S = 3.0
WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - what is listened on, and how it is reached


def main() -> int:
    """0: all alive, 1: not, with the reason on standard output, where `docker inspect` shows it."""
    file = Path(os.environ.get("CLF_SERVICE_FILE", "service.json"))
    try:
        services = json.loads(file.read_bytes())["services"]
        ports = [address for name, address in services.items() if name.startswith("clf-health")]
        for address in ports:
            host, _, port = address.rpartition(":")
            connection = HTTPConnection(WILDCARDS.get(host, host.strip("[]")), int(port), timeout=TIMEOUT_S)
            connection.request("GET", "/status")
            status = connection.getresponse().status
            connection.close()
            if status != 200:  # noqa: PLR2004 - HTTP's own number
                sys.stdout.write(f"{address} answers {status}\n")
                return 1
    except (OSError, HTTPException, ValueError, KeyError) as error:
        sys.stdout.write(f"{file}: {type(error).__name__}: {error}\n")
        return 1
    return 0 if ports else 1


if __name__ == "__main__":
    sys.exit(main())
