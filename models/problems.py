"""Why a bundle is refused: a closed set of reasons, each with a sentence for the person who must act."""

from enum import StrEnum


class BundleProblem(StrEnum):
    """The closed set of reasons for refusing a bundle."""

    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_NOT_JSON = "manifest_not_json"
    MANIFEST_INVALID = "manifest_invalid"
    WRONG_FORMAT = "wrong_format"
    FORMAT_VERSION = "format_version"
    DIGEST_MISMATCH = "digest_mismatch"
    UNSAFE_FILE = "unsafe_file"
    FILE_MISSING = "file_missing"
    FILE_UNREADABLE = "file_unreadable"
    SIZE_MISMATCH = "size_mismatch"
    HASH_MISMATCH = "hash_mismatch"
    ARRAY_INVALID = "array_invalid"
    SHAPE_MISMATCH = "shape_mismatch"
    NOT_FINITE = "not_finite"
    TERMS_INVALID = "terms_invalid"
    VECTORIZER_INVALID = "vectorizer_invalid"
    INDEX_INVALID = "index_invalid"
    GOLDEN_INVALID = "golden_invalid"
    GOLDEN_MISMATCH = "golden_mismatch"
    SCORER_UNAVAILABLE = "scorer_unavailable"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    KEY_UNUSABLE = "key_unusable"
    ALREADY_EXISTS = "already_exists"
    CONTENT_INVALID = "content_invalid"
    WRITE_FAILED = "write_failed"


class BundleError(ValueError):
    """A bundle cannot be trusted, read or written.

    Attributes:
        reason: which of the closed set it is, for programs.
        detail: one or two whole sentences for people: what, where, what to do.
    """

    def __init__(self, reason: BundleProblem, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
