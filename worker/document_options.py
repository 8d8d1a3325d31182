"""How documents and results look in their topics. Groups of options, as in config.py."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from schemas.field_paths import FieldPaths
from worker.options import FILE, FieldPathsType, option


class ResultFraming(StrEnum):
    """How results say which schema they are of."""

    NONE = "none"
    REGISTRY = "registry"
    REGISTRY_HEADER = "registry-header"


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """Where documents keep their fields."""

    fields: FieldPaths | None = option(
        None,
        "Where JSON documents keep url, title, text and lang when they are called otherwise or lie deeper, such as "
        "url=link,text=body.content. html=body takes the text out of a page, with the extra `html`.",
        type=FieldPathsType(),
    )


@dataclass(frozen=True, slots=True)
class SchemaRegistry:
    """Values that are framed for a schema registry."""

    schema_registry: str = option(
        "",
        "URL of a schema registry, or several with commas between: framed documents are checked there, by the type of "
        "their schema. Without it frames are taken off all the same. Needs the extra `registry`.",
    )
    schema_registry_config: Path | None = option(
        None,
        "Properties file (key=value lines) for the registry's client: basic.auth.user.info, bearer.auth.*, ssl.*.",
        type=FILE,
    )
    result_framing: ResultFraming = option(
        ResultFraming.NONE,
        "registry puts the id of their schema, which is registered, before the results, registry-header its GUID "
        "into a header.",
    )
