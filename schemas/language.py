"""Language codes: the many ways crawlers write them, and the one way we do."""

import re
from functools import lru_cache

from langcodes import Language, tag_is_valid
from langcodes.tag_parser import LanguageTagError

UNDETERMINED = "und"
MAX_CODE_CHARS = 256
_CACHED_CODES = 4096
# Only the primary subtag decides: "en-GB", "en_US.UTF-8" and "en;q=0.9" are all English.
_PRIMARY_SUBTAG = re.compile(r"\s*([A-Za-z]{2,3})(?![A-Za-z0-9])")
# Valid in ISO 639, but no language a model could be trained for.
_NOT_A_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})


def normalise_language(code: str | None) -> str:
    """Return the shortest ISO 639 code (639-1, else 639-3) of a language as a crawler wrote it.

    Takes ISO 639-1, 639-2 (B and T), 639-3 and BCP 47 in any letter case, and comma lists, of which the
    first usable entry counts. Never raises: what names no language becomes ``"und"``.

    Args:
        code: For example ``"eng"``, ``"en-GB"``, ``"ger"``, ``"eng,deu"``. Of a text longer than
            ``MAX_CODE_CHARS`` only the whole entries within that length are read.
    """
    if not isinstance(code, str):
        return UNDETERMINED
    if len(code) > MAX_CODE_CHARS:
        code = code[:MAX_CODE_CHARS].rpartition(",")[0]
    return _first_usable(code)


@lru_cache(maxsize=_CACHED_CODES)
def _first_usable(code: str) -> str:
    for entry in code.split(","):
        match = _PRIMARY_SUBTAG.match(entry)
        language = _standard_code(match[1]) if match else None
        if language is not None:
            return language
    return UNDETERMINED


def _standard_code(subtag: str) -> str | None:
    try:
        language = Language.get(subtag).language
    except LanguageTagError:
        return None
    if language is None or language in _NOT_A_LANGUAGE or not tag_is_valid(language):
        return None
    return language
