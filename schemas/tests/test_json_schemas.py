"""The published JSON Schemas say what the codecs do: each accepts exactly what the other accepts."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.classification import (
    Classification,
    ClassificationError,
    ClassProbability,
    ModelStamp,
    Source,
    Status,
    decode_classification,
)
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.decoding import MAX_INT32, MAX_INT64, DecodeError
from schemas.document import MAX_URL_CHARS, decode_document

FOLDER = Path(__file__).parents[1]
NAMES = ["document", "classification", "dead_letter"]
DECODERS: dict[str, Callable[[bytes], object]] = {
    "document": decode_document,
    "classification": decode_classification,
    "dead_letter": DeadLetter.from_json,
}
SCHEMAS: dict[str, dict[str, Any]] = {
    name: orjson.loads((FOLDER / f"{name}.schema.json").read_bytes()) for name in NAMES
}
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
_EDGES: list[object] = [
    *[None, True, False, 0, 1, -1, -0.0, 0.5, 1.0, 2.0, 1.5, 1e19, 1e300, {}, [], [None], "", " ", "\u3000", "\ufeff"],
    *[MAX_INT32, MAX_INT32 + 1, MAX_INT64, MAX_INT64 + 1, float(2**31), "u" * MAX_URL_CHARS, "u" * (MAX_URL_CHARS + 1)],
    *[*Status, *Stage, *Reason, "name", "ab==", "ab==\n", "abc", {"base64": "gA=="}, {"base64": "gA==\n"}],
    *[{"base64": "gA"}, {"name": "a", "prob": 1}, [{"name": "a", "prob": 0.5}], ["sport"]],
    {"lang": "en", "version": "v", "digest": "d"},
    {"topic": "t", "partition": 0, "offset": 0},
]
# Values near the edges of some rule, so that a random replacement often lands on one; as JSON, as tests change them.
EDGES = [orjson.dumps(edge) for edge in _EDGES]
JSON_VALUES = st.sampled_from(EDGES).map(orjson.loads) | st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _containers(value: object) -> list[Any]:
    """List every object and array within a JSON value."""
    if isinstance(value, dict):
        return [value, *(found for inner in value.values() for found in _containers(inner))]
    if isinstance(value, list):
        return [value, *(found for inner in value for found in _containers(inner))]
    return []


@st.composite
def near_misses(draw: st.DrawFn, name: str) -> object:
    """Draw the schema's example with a few of its parts, at any depth, replaced, removed or added."""
    example = orjson.loads(orjson.dumps(SCHEMAS[name]["examples"][0]))
    for _ in range(draw(st.integers(0, 3))):
        container = draw(st.sampled_from(_containers(example)))
        keys: list[Any] = list(container) if isinstance(container, dict) else list(range(len(container)))
        change = draw(st.sampled_from(["replace", "remove", "add"])) if keys else "add"
        if change == "replace":
            container[draw(st.sampled_from(keys))] = draw(JSON_VALUES)
        elif change == "remove":
            del container[draw(st.sampled_from(keys))]
        elif isinstance(container, list):
            container.append(draw(JSON_VALUES))
        else:
            container[draw(st.text())] = draw(JSON_VALUES)
    return example


def _accepts(name: str, value: bytes) -> bool:
    try:
        DECODERS[name](value)
    except DecodeError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_valid_and_their_examples_decode(name: str) -> None:
    """Each schema obeys the 2020-12 meta-schema, and its codec takes its examples."""
    Draft202012Validator.check_schema(SCHEMAS[name])
    for example in SCHEMAS[name]["examples"]:
        VALIDATORS[name].validate(example)
        assert _accepts(name, orjson.dumps(example))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_codec_and_schema_accept_the_same(name: str, data: st.DataObject) -> None:
    """Near misses of a valid value pass both or neither."""
    value = data.draw(near_misses(name) | JSON_VALUES)
    encoded = orjson.dumps(value)
    assert _accepts(name, encoded) == VALIDATORS[name].is_valid(orjson.loads(encoded))


@pytest.mark.parametrize("name", NAMES)
def test_codec_and_schema_agree_on_every_single_edge(name: str) -> None:
    """Every part of the example, at any depth, replaced by every edge value, one at a time."""
    example = orjson.dumps(SCHEMAS[name]["examples"][0])
    for index in range(len(_containers(orjson.loads(example)))):
        container = _containers(orjson.loads(example))[index]
        for key in container if isinstance(container, dict) else range(len(container)):
            for edge in EDGES:
                changed = orjson.loads(example)
                _containers(changed)[index][key] = orjson.loads(edge)
                encoded = orjson.dumps(changed)
                accepted = VALIDATORS[name].is_valid(orjson.loads(encoded))
                assert _accepts(name, encoded) == accepted, f"{key} = {edge!r}"


@settings(deadline=None)
@given(
    st.builds(
        Classification,
        url=st.sampled_from(["u", "u", "", "\u3000"]) | st.text(),
        lang=st.text(),
        status=st.sampled_from(Status),
        labels=st.lists(st.text(st.characters()), max_size=2).map(tuple),
        classes=st.lists(st.builds(ClassProbability, st.text(), st.floats(0, 1) | st.floats()), max_size=2).map(tuple),
        model=st.none() | st.builds(ModelStamp, st.text(), st.text(), st.text()),
        source=st.none() | st.builds(Source, st.text(), st.integers(-1, MAX_INT32 + 1), st.integers()),
    )
)
def test_whatever_is_encoded_obeys_the_schema(result: Classification) -> None:
    """A value either breaks the contract and is refused, or consumers can take its bytes."""
    try:
        encoded = result.to_json()
    except ClassificationError:
        return
    VALIDATORS["classification"].validate(orjson.loads(encoded))
    assert decode_classification(encoded) == result


def test_schema_knows_the_same_blanks_as_the_codec() -> None:
    """The url pattern spells out Unicode white space, so that every regex dialect means the same."""
    validator = VALIDATORS["document"]
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if character.isspace():
            assert not validator.is_valid({"url": character}), hex(code)
    for character in "\u200b\ufeff\u180e\x00\x08\x0e\x1b\x7f\x84\x86\u2027\u202a":
        assert not character.isspace()
        assert validator.is_valid({"url": character}), hex(ord(character))


def test_schema_lists_every_reason_and_stage() -> None:
    """The closed sets are the same in code and schema."""
    properties = SCHEMAS["dead_letter"]["properties"]
    assert properties["reason"]["enum"] == list(Reason)
    assert properties["stage"]["enum"] == list(Stage)
    assert SCHEMAS["classification"]["properties"]["status"]["enum"] == list(Status)
