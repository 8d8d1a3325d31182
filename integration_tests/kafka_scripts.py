"""Kafka's own scripts, which the runbook names: what they run is a jar of its own that no broker needs."""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import platformdirs

from worker.clock import SystemClock
from worker.kafka.local_base import locked
from worker.kafka.local_jars import FETCH_TIMEOUT_S, LOCK_TIMEOUT_S, JarCache, find_java, find_maven, settings_directory

_CLASSES: Final = {
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-features.sh": "org.apache.kafka.tools.FeatureCommand",
    "kafka-transactions.sh": "org.apache.kafka.tools.TransactionsCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
}
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy"
_JVM: Final = "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"


def write_scripts(directory: Path) -> None:
    """Write the scripts into a directory that is then put on the PATH.

    Raises:
        BrokerError: there is no Java, or no Maven where the jar was not fetched yet.
    """
    jars = JarCache.default()
    paths = f"{tools_jar(jars)}:{jars.ensure()}/*"
    logging = (settings_directory() / "log4j2.properties").as_uri()
    for name, main in _CLASSES.items():
        script = directory / name
        command = f'"{find_java()}" {_JVM} -Dlog4j2.configurationFile="{logging}" -cp "{paths}" {main}'
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
        script.chmod(0o755)


def tools_jar(jars: JarCache) -> Path:
    """The jar of the tools, of the version of the broker, in the user's cache directory (750 kB, fetched once)."""
    home = platformdirs.user_cache_path("clf") / "kafka-tools"
    name = f"kafka-tools-{jars.version}.jar"
    if not (home / name).exists():
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / "lock", SystemClock(), LOCK_TIMEOUT_S):
            if not (home / name).exists():
                _fetch(f"org.apache.kafka:kafka-tools:{jars.version}", home / name)
    return home / name


def _fetch(artifact: str, target: Path) -> None:
    with TemporaryDirectory(dir=target.parent) as directory:
        options = ["-q", "-B", "--strict-checksums", f"-Dartifact={artifact}", f"-DoutputDirectory={directory}"]
        subprocess.run([find_maven(), *options, _COPY], check=True, timeout=FETCH_TIMEOUT_S)
        shutil.move(Path(directory) / target.name, target)
