#!/usr/bin/env python3
"""Makes Prometheus' file_sd targets of the service files of running processes. Needs the standard library only.

    targets.py --to targets/clf-worker.json /run/clf/worker-*/service.json

Run it when a process starts or stops, or every minute; Prometheus sees that the file has changed. What is listed are
the ports for health and metrics, one for each process of `clf serve --processes`. A service file that is missing is
left out: its process has stopped. That of a process that was killed stays, so that ClfTargetDown tells of it.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path


def addresses(service_file: Path) -> list[str]:
    """The ports for health and metrics that a service file names."""
    try:
        services = json.loads(service_file.read_text("utf-8"))["services"]
    except FileNotFoundError:
        return []
    return [address for name, address in sorted(services.items()) if name.startswith("clf-health")]


def write(target: Path, service_files: list[Path], labels: dict[str, str]) -> None:
    """Write the targets, atomically: Prometheus reads the whole file or the last one."""
    found = [{"targets": addresses(path), "labels": labels} for path in service_files]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=f".{target.name}", delete=False) as file:
        json.dump([group for group in found if group["targets"]], file, indent=2)
        os.fchmod(file.fileno(), 0o644)  # a temporary file is for its owner alone
    Path(file.name).replace(target)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("service_files", nargs="*", type=Path, metavar="SERVICE_FILE")
    parser.add_argument("--to", required=True, type=Path, help="the file that file_sd_configs names")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="for all targets, as dc=fra")
    options = parser.parse_args()
    write(options.to, options.service_files, dict(label.split("=", 1) for label in options.label))
    return 0


if __name__ == "__main__":
    sys.exit(main())
