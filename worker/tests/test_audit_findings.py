"""What the audit finds when one thing is wrong: exactly that."""

from collections.abc import Callable

import pytest

from schemas.classification import ModelStamp
from schemas.document import Document
from worker.audit.findings import Finding
from worker.tests.audit_scene import DEAD, DOCUMENTS, RESULTS, Scene, mixed


def _lose_a_result(scene: Scene) -> None:
    del scene.logs[RESULTS][3]


def _lose_a_dead_letter(scene: Scene) -> None:
    scene.relay(DEAD, [])


def _lose_the_last(scene: Scene) -> None:
    del scene.logs[RESULTS][-1]


def _double(scene: Scene) -> None:
    results = scene.logs[RESULTS]
    scene.relay(RESULTS, [*results[:4], results[2], *results[4:]])


def _double_at_the_end(scene: Scene) -> None:
    scene.relay(RESULTS, [*scene.logs[RESULTS], scene.logs[RESULTS][0]])


def _double_a_dead_letter(scene: Scene) -> None:
    scene.relay(DEAD, scene.logs[DEAD] * 2)


def _result_beside_a_dead_letter(scene: Scene) -> None:
    results = scene.logs[RESULTS]
    scene.relay(RESULTS, [*results[:5], results[4], *results[5:]])
    scene.edit(5, lambda result: result._replace(source=result.source and result.source._replace(offset=5)))


def _swap(scene: Scene) -> None:
    results = scene.logs[RESULTS]
    scene.relay(RESULTS, [*results[:2], results[3], results[2], *results[4:]])


def _no_such_document(scene: Scene) -> None:
    scene.relay(RESULTS, [*scene.logs[RESULTS][:4], scene.logs[RESULTS][3], *scene.logs[RESULTS][4:]])
    scene.edit(4, lambda result: result._replace(source=result.source and result.source._replace(offset=4_000)))


def _wrong_partition(scene: Scene) -> None:
    scene.relay(RESULTS, [*scene.logs[RESULTS], scene.logs[RESULTS][3]])
    scene.edit(-1, lambda result: result._replace(source=result.source and result.source._replace(partition=1)))


def _garbage(scene: Scene) -> None:
    garbage = scene.logs[RESULTS][0]._replace(value=b"{}")
    scene.relay(RESULTS, [garbage, *scene.logs[RESULTS]])


def _no_source(scene: Scene) -> None:
    scene.relay(RESULTS, [*scene.logs[RESULTS], scene.logs[RESULTS][0]])
    scene.edit(-1, lambda result: result._replace(source=None))


def _stray_dead_letter(scene: Scene) -> None:
    scene.relay(DEAD, [scene.logs[RESULTS][0], *scene.logs[DEAD]])


def _other_key(scene: Scene) -> None:
    scene.logs[RESULTS][0] = scene.logs[RESULTS][0]._replace(key=b"other")


def _other_headers(scene: Scene) -> None:
    scene.logs[RESULTS][0] = scene.logs[RESULTS][0]._replace(headers=(("h", b"1"),))


def _result_for_a_tombstone(scene: Scene) -> None:
    scene.logs[DOCUMENTS][0] = scene.logs[DOCUMENTS][0]._replace(value=None)


def _tombstone_for_a_document(scene: Scene) -> None:
    scene.logs[DOCUMENTS][6] = scene.logs[DOCUMENTS][0]._replace(offset=6)


def _other_dead_letter(scene: Scene) -> None:
    scene.logs[DEAD][0] = scene.logs[DEAD][0]._replace(value=b"other")


def _other_probability(scene: Scene) -> None:
    scene.edit(2, lambda result: result._replace(classes=(("sport", 0.99), ("culture", 0.01))))


def _other_bytes(scene: Scene) -> None:
    scene.logs[RESULTS][2] = scene.logs[RESULTS][2]._replace(value=(scene.logs[RESULTS][2].value or b"") + b" ")


def _other_document(scene: Scene) -> None:
    value = Document("u0/0", "", "some other text", "en").to_json()
    scene.logs[DOCUMENTS][0] = scene.logs[DOCUMENTS][0]._replace(value=value)


def _decodable_dead_letter(scene: Scene) -> None:
    good = Document("u/5", "", "text", "en").to_json()
    for where, index in ((DOCUMENTS, 5), (DEAD, 0)):
        scene.logs[where][index] = scene.logs[where][index]._replace(value=good)


def _undecodable_document(scene: Scene) -> None:
    scene.logs[DOCUMENTS][0] = scene.logs[DOCUMENTS][0]._replace(value=b"not JSON")


def _other_reason(scene: Scene) -> None:
    headers = tuple(
        (name, b"not_utf8" if name == "clf-reason" else value) for name, value in scene.logs[DEAD][0].headers
    )
    scene.logs[DEAD][0] = scene.logs[DEAD][0]._replace(headers=headers)


def _stamped_with_another_model(scene: Scene) -> None:
    scene.edit(2, lambda result: result._replace(model=ModelStamp("en", "v2", "v2" * 8)))


def _other_digest(scene: Scene) -> None:
    scene.edit(2, lambda result: result._replace(model=ModelStamp("en", "v1", "0" * 16)))


def _unknown_model(scene: Scene) -> None:
    scene.edit(2, lambda result: result._replace(model=ModelStamp("en", "v9", "0" * 16)))


def _results_beyond_the_offset(scene: Scene) -> None:
    scene.offsets[0] = 13


def _no_offset_at_all(scene: Scene) -> None:
    scene.offsets.clear()


def _offset_beyond_the_documents(scene: Scene) -> None:
    scene.offsets[0] = 15


def _open_transaction(scene: Scene) -> None:
    scene.hidden_from[RESULTS] = 10


SPOILERS: list[tuple[Callable[[Scene], None], Finding, int]] = [
    (_lose_a_result, Finding.MISSING, 1),
    (_lose_a_dead_letter, Finding.MISSING, 1),
    (_lose_the_last, Finding.MISSING, 1),
    (_double, Finding.DOUBLED, 1),
    (_double_at_the_end, Finding.DOUBLED, 1),
    (_double_a_dead_letter, Finding.DOUBLED, 1),
    (_result_beside_a_dead_letter, Finding.DOUBLED, 1),
    (_swap, Finding.REORDERED, 1),
    (_no_such_document, Finding.UNEXPECTED, 1),
    (_wrong_partition, Finding.UNEXPECTED, 1),
    (_garbage, Finding.UNEXPECTED, 1),
    (_no_source, Finding.UNEXPECTED, 1),
    (_stray_dead_letter, Finding.UNEXPECTED, 1),
    (_other_key, Finding.UNEXPECTED, 1),
    (_other_headers, Finding.UNEXPECTED, 1),
    (_result_for_a_tombstone, Finding.UNEXPECTED, 1),
    (_tombstone_for_a_document, Finding.UNEXPECTED, 1),
    (_other_dead_letter, Finding.UNEXPECTED, 1),
    (_other_probability, Finding.DIFFERENT, 1),
    (_other_bytes, Finding.DIFFERENT, 1),
    (_other_document, Finding.DIFFERENT, 1),
    (_decodable_dead_letter, Finding.DIFFERENT, 1),
    (_undecodable_document, Finding.DIFFERENT, 1),
    (_other_reason, Finding.DIFFERENT, 1),
    (_stamped_with_another_model, Finding.OTHER_MODEL, 1),
    (_other_digest, Finding.OTHER_MODEL, 1),
    (_unknown_model, Finding.UNKNOWN_MODEL, 1),
    (_results_beyond_the_offset, Finding.OFFSETS, 1),
    (_no_offset_at_all, Finding.OFFSETS, 14),
    (_offset_beyond_the_documents, Finding.OFFSETS, 1),
    (_open_transaction, Finding.OPEN_TRANSACTION, 1),
]


@pytest.mark.parametrize(("spoil", "finding", "count"), SPOILERS, ids=[spoil.__name__[1:] for spoil, _, _ in SPOILERS])
def test_what_is_wrong_is_found(spoil: Callable[[Scene], None], finding: Finding, count: int) -> None:
    """Each is reported as what it is, once, and nothing else is."""
    scene = mixed()
    spoil(scene)
    report = scene.audit().look()
    assert report.findings == {finding: count}, report.examples
    [example] = report.examples
    assert example.finding is finding
    assert "text" not in example.detail, "content of a document"
