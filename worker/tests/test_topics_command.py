"""`clf topics`: creating what is missing, repairing what is too small, saying what is wrong."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

import pytest
from click.testing import Result

from worker.kafka.admin import CLEANUP, HEADROOM_BYTES, MAX_BYTES, Cluster, TopicInfo
from worker.tests.tools import NO_CLUSTER, clf

SIZE = 1_048_588
NEEDED = SIZE + HEADROOM_BYTES


class MemoryAdmin:
    """A cluster's topics in memory."""

    def __init__(self, topics: Mapping[str, TopicInfo]) -> None:
        self.found = dict(topics)
        self.partitions_created: list[int] = []
        self.grown: list[str] = []

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        """Those of `names` that exist."""
        return {name: info for name, info in self.found.items() if name in names}

    def create(self, name: str, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        """Create one."""
        assert name not in self.found
        assert replication == 1
        self.partitions_created.append(partitions)
        self.found[name] = TopicInfo(partitions, int(config.get(MAX_BYTES, SIZE)), config.get(CLEANUP, "delete"))

    def add_partitions(self, name: str, partitions: int) -> None:
        """Let it have more."""
        assert partitions > self.found[name].partitions
        self.grown.append(name)
        self.found[name] = replace(self.found[name], partitions=partitions)

    def set_config(self, name: str, key: str, value: str) -> None:
        """Change the size."""
        assert key == MAX_BYTES
        info = self.found[name]
        self.found[name] = TopicInfo(info.partitions, int(value), info.cleanup_policy)


def topics(admin: MemoryAdmin, *arguments: str) -> Result:
    """Call `clf topics` on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.commands.topics.Admin", lambda _settings: admin)
        return clf("topics", *arguments, *NO_CLUSTER)


def sound(partitions: int = 3) -> dict[str, TopicInfo]:
    """Three topics that a worker can use."""
    return {
        "documents": TopicInfo(partitions, SIZE, "delete"),
        "classifications": TopicInfo(partitions, NEEDED, "delete"),
        "documents.dead-letter": TopicInfo(partitions, NEEDED, "delete"),
    }


def test_creates_all_three_alike() -> None:
    """Equal partition counts, and room for a document with our headers."""
    admin = MemoryAdmin({})
    found = topics(admin, "create", "--partitions", "6")
    assert found.exit_code == 0
    assert admin.found == sound(6)
    assert "A worker can start with these topics." in found.stdout


def test_follows_the_partitions_of_documents_that_exist() -> None:
    """--partitions is for new topics: results get as many as there are documents partitions."""
    admin = MemoryAdmin({"documents": TopicInfo(5, SIZE, "delete")})
    assert topics(admin, "create", "--partitions", "2").exit_code == 0
    assert admin.partitions_created == [5, 5]


def test_creating_twice_changes_nothing() -> None:
    """The second call finds everything in order."""
    admin = MemoryAdmin(sound())
    assert topics(admin, "create").exit_code == 0
    assert admin.found == sound()
    assert admin.partitions_created == []


def test_raises_sizes_that_are_too_small() -> None:
    """An output topic that could not take the largest document is repaired."""
    small = TopicInfo(3, SIZE, "delete")
    admin = MemoryAdmin(sound() | {"classifications": small, "documents.dead-letter": small})
    assert topics(admin, "create").exit_code == 0
    assert admin.found == sound()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"classifications": TopicInfo(2, NEEDED, "delete")}, "the counts must be equal"),
        ({"documents.dead-letter": TopicInfo(3, NEEDED - 1, "delete")}, f"{MAX_BYTES}={NEEDED}"),
        ({"documents.dead-letter": TopicInfo(3, NEEDED, "compact,delete")}, "is compacted"),
    ],
)
def test_check_says_what_is_wrong(changed: dict[str, TopicInfo], expected: str) -> None:
    """Each mismatch is a sentence on standard error, and the exit code is 3."""
    found = topics(MemoryAdmin(sound() | changed), "check")
    assert found.exit_code == 3
    assert expected in found.stderr
    assert "A worker can start" not in found.stdout


def test_check_names_what_is_missing_and_the_way_out() -> None:
    """Topics that do not exist are named, and so is the command that creates them."""
    found = topics(MemoryAdmin({"documents": sound()["documents"]}), "check")
    assert found.exit_code == 3
    assert "Topic classifications does not exist." in found.stderr
    assert "`clf topics create`" in found.stderr


def test_adds_partitions_to_all_three() -> None:
    """Documents come last, so that no worker ever meets one without a place for its result."""
    admin = MemoryAdmin(sound(3))
    found = topics(admin, "add-partitions", "--partitions", "6")
    assert found.exit_code == 0
    assert admin.found == sound(6)
    assert admin.grown == ["classifications", "documents.dead-letter", "documents"]
    assert "Added partitions to documents: 6 instead of 3." in found.stdout
    assert topics(admin, "add-partitions").exit_code == 0
    assert len(admin.grown) == 3


@pytest.mark.parametrize("larger", ["documents", "classifications"])
def test_adds_what_is_missing_after_somebody_added_to_one_topic(larger: str) -> None:
    """Without a number the documents and the results get as many as either has; the way out that `check` names."""
    admin = MemoryAdmin(sound(3))
    admin.found[larger] = sound(8)[larger]
    checked = topics(admin, "check")
    assert "`clf topics add-partitions --partitions 8`" in checked.stderr
    assert topics(admin, "add-partitions").exit_code == 0
    assert admin.found == sound(8)


def test_partitions_are_never_taken_away() -> None:
    """A number below what there is changes nothing, and says so."""
    admin = MemoryAdmin(sound(3))
    found = topics(admin, "add-partitions", "--partitions", "2")
    assert (found.exit_code, admin.found) == (0, sound(3))
    assert "documents has 3 partitions, and they cannot be taken away." in found.stderr


def test_adding_partitions_to_topics_that_do_not_exist() -> None:
    """It creates none: exit code 3, and the command that does."""
    found = topics(MemoryAdmin({}), "add-partitions", "--partitions", "2")
    assert found.exit_code == 3
    assert "`clf topics create`" in found.stderr


def test_check_of_sound_topics() -> None:
    """Exit code 0, and all three are shown in the order of the flow."""
    found = topics(MemoryAdmin(sound()), "check")
    assert found.exit_code == 0
    rows = [name for line in found.stdout.splitlines() for name in sound() if f" {name} " in line]
    assert rows == list(sound())


def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """One line that names the address, and exit code 3; the client's own outcries are kept out of it."""
    monkeypatch.setattr("worker.commands.topics.Admin", partial(Cluster, timeout_seconds=0.5))
    found = clf("topics", "check", "--bootstrap-servers", "127.0.0.1:1")
    assert found.exit_code == 3
    assert found.stderr.startswith("Error: No Kafka broker answers at 127.0.0.1:1: ")
    assert found.stderr.count("\n") == 1
    assert capfd.readouterr().err == ""
