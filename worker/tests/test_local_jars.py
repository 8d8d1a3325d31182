"""Finding Java and Maven, and the cache of the broker's jars: fetched once, whole or not at all."""

import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.kafka.local_base import BrokerError, locked
from worker.kafka.local_jars import JarCache, find_java, find_maven, settings_directory
from worker.tests.played import JumpClock, script

POM = "<project><properties><kafka.version>4.4.0</kafka.version></properties></project>"


def make_jars(directory: Path, version: str = "4.4.0") -> None:
    """A directory of jars as a finished fetch leaves it."""
    directory.mkdir(parents=True)
    jar = directory / "kafka_2.13-4.4.0.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\nVersion: {version}\r\n")
    (directory / "jars.json").write_text(json.dumps({jar.name: jar.stat().st_size}))


@pytest.fixture
def cache(tmp_path: Path) -> JarCache:
    """An empty cache for a small POM."""
    (tmp_path / "pom.xml").write_text(POM)
    return JarCache(tmp_path / "pom.xml", tmp_path / "cache")


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: JarCache) -> Path:
    """A mvn that copies a prepared set of jars and counts how often it ran."""
    make_jars(tmp_path / "central")
    path = script(
        tmp_path / "maven/bin/mvn",
        f"""#!/bin/sh
echo run >> {tmp_path}/runs
for a; do case $a in -DoutputDirectory=*) out=${{a#*=}};; esac; done
echo "[INFO] Downloaded from central: https://repository.example/kafka.jar"
cp {tmp_path}/central/*.jar "$out"
""",
    )
    del cache
    monkeypatch.setenv("MAVEN_HOME", str(tmp_path / "maven"))
    return path


def test_java_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Java the message says how to install it on both systems."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match=r"no `java`.*apt install openjdk-17.*brew install openjdk@17"):
        find_java()


@pytest.mark.parametrize(
    ("said", "problem"),
    [('java version "1.8.0_402"', "is Java 8"), ('openjdk version "11.0.2"', "is Java 11"), ("hm?", "does not tell")],
)
def test_java_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, problem: str) -> None:
    """An old Java, in either way of numbering, and something that is no Java are named."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    script(tmp_path / "bin/java", f"#!/bin/sh\necho '{said}' >&2\n")
    with pytest.raises(BrokerError, match=problem):
        find_java()


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_HOME is used even though there is a java in PATH."""
    java = script(tmp_path / "home/bin/java", "#!/bin/sh\necho 'openjdk version \"17\"' >&2\n")
    script(tmp_path / "java", "#!/bin/sh\necho 'openjdk version \"21\"' >&2\n")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() == str(java)


def test_maven_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Maven the message says how to install it, and how to do without."""
    monkeypatch.delenv("MAVEN_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match=r"apt install maven.*brew install maven.*CLF_BOOTSTRAP_SERVERS"):
        find_maven()


def test_fetch_once(cache: JarCache, maven: Path, tmp_path: Path) -> None:
    """Jars are fetched once, said to be, and no temporary directory stays."""
    del maven
    lines: list[str] = []
    first = cache.ensure(lines.append)
    second = cache.ensure()
    assert first == second == cache.directory
    assert (tmp_path / "runs").read_text() == "run\n"
    assert "Fetching Apache Kafka 4.4.0" in lines[0]
    assert sorted(p.name for p in cache.root.iterdir()) == [first.name, f"{first.name}.lock"]


def test_fetch_by_many_at_once(cache: JarCache, maven: Path, tmp_path: Path) -> None:
    """Four callers at once run Maven once and all get the jars."""
    script(maven, maven.read_text() + "sleep 0.3\n")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(cache.ensure())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [cache.directory] * 4
    assert (tmp_path / "runs").read_text() == "run\n"


def damage_jar(directory: Path) -> None:
    """Cut the broker's jar short."""
    jar = directory / "kafka_2.13-4.4.0.jar"
    jar.write_bytes(jar.read_bytes()[:40])


def remove_jar(directory: Path) -> None:
    """Lose the broker's jar."""
    (directory / "kafka_2.13-4.4.0.jar").unlink()


def remove_listing(directory: Path) -> None:
    """Lose the list that is written last."""
    (directory / "jars.json").unlink()


def garble_listing(directory: Path) -> None:
    """Leave half a list."""
    (directory / "jars.json").write_text('{"kafka')


@pytest.mark.parametrize("damage", [damage_jar, remove_jar, remove_listing, garble_listing])
def test_damaged_cache_is_fetched_again(cache: JarCache, maven: Path, damage: Callable[[Path], None]) -> None:
    """Whatever is wrong with the cached jars, the next caller gets good ones."""
    del maven
    make_jars(cache.directory)
    damage(cache.directory)
    assert cache.problem() != ""
    cache.ensure()
    assert cache.problem() == ""


def test_wrong_version_is_refused(cache: JarCache, maven: Path, tmp_path: Path) -> None:
    """A jar that says another version inside than on its name is not used, and not kept."""
    del maven
    remove_jar(tmp_path / "central")
    with zipfile.ZipFile(tmp_path / "central/kafka_2.13-4.4.0.jar", "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Version: 3.9.0\n")
    with pytest.raises(BrokerError, match=r"version '3\.9\.0', not 4\.4\.0"):
        cache.ensure()
    assert not cache.directory.exists()


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "[ERROR] Unknown host repository.example: Temporary failure in name resolution",
            "cannot reach its repository",
        ),
        ("[ERROR] write error: No space left on device", "The disk is full"),
        ("[ERROR] something else", "Its own words"),
    ],
)
def test_maven_fails(cache: JarCache, maven: Path, said: str, advice: str) -> None:
    """The causes that people can do something about are named, Maven's words are shown, nothing stays behind."""
    script(maven, f"#!/bin/sh\necho '{said}'\nexit 1\n")
    with pytest.raises(BrokerError, match=advice) as caught:
        cache.ensure()
    assert said in str(caught.value)
    assert [p.name for p in cache.root.iterdir()] == [f"{cache.directory.name}.lock"]


def test_leftovers_of_a_killed_fetch_are_removed(cache: JarCache, maven: Path) -> None:
    """Half a fetch that was cut off does not pile up."""
    del maven
    stale = cache.root / f"{cache.directory.name}.part-x"
    stale.mkdir(parents=True)
    cache.ensure()
    assert not stale.exists()


def test_cache_follows_the_pom(cache: JarCache) -> None:
    """Any change of the POM asks for other jars."""
    before = cache.directory
    cache.pom.write_text(POM + "\n")
    assert cache.directory != before


def test_cache_cannot_be_written(cache: JarCache) -> None:
    """A file where the cache should be is reported with a way out."""
    cache.root.write_text("")
    with pytest.raises(BrokerError, match="XDG_CACHE_HOME"):
        cache.ensure()


def test_lock_gives_up(tmp_path: Path) -> None:
    """A lock that is never released is an error and no endless wait."""
    with (
        locked(tmp_path / "lock", JumpClock(), 5),
        pytest.raises(BrokerError, match="has held"),
        locked(tmp_path / "lock", JumpClock(), 5),
    ):
        pytest.fail("two processes hold one lock")


def test_settings_are_those_of_the_project() -> None:
    """The POM names a Kafka 4 and the settings turn off what surprises."""
    directory = settings_directory()
    assert JarCache(directory / "pom.xml", directory).version.startswith("4.")
    assert "auto.create.topics.enable=false" in (directory / "server.properties").read_text().splitlines()
