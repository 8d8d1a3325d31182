"""Which brokers to talk to: those that were named, else the local one of this directory."""

from pathlib import Path

from worker.config import Cluster
from worker.kafka.local_broker import find_running
from worker.kafka.settings import SettingsError

LOCAL_DIRECTORY = Path(".clf/kafka")


def bootstrap_servers(cluster: Cluster) -> str:
    """Addresses of brokers, comma-separated.

    Raises:
        SettingsError: none were named, and no local broker runs.
    """
    if cluster.bootstrap_servers:
        return cluster.bootstrap_servers
    running = find_running(LOCAL_DIRECTORY.absolute())
    if running is None:
        raise SettingsError(
            "No Kafka is named and no local broker runs here. Start one with `clf kafka start`, or name yours with "
            "--bootstrap-servers (CLF_BOOTSTRAP_SERVERS)."
        )
    return running.bootstrap_servers
