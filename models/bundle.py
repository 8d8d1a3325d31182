"""The model bundle, format version 2: a directory of JSON and flat arrays.

| File | Holds |
|---|---|
| `manifest.json` | language, version, classes, thresholds, calibration, vectorizer, metrics, hashes, digest |
| `manifest.sig` | optional: 64 bytes, see `models.signing`; the only file that may come later |
| `terms.utf8`, `term_offsets.npy` | n terms end to end; int64 (n + 1,) byte offsets |
| `weights.npy` | float32 (terms, classes), C order |
| `idf.npy` | float32 (terms,); only when the vectorizer uses idf |
| `intercept.npy` | float32 (classes,) |
| `characters.npy` | uint32, see `models.characters`; unless only the reference scorer can follow the settings |
| `index.npy` | optional: uint64, the native scorer's lookup index; follows from the others, not part of the digest |
| `golden.json` | texts with the scores they must have |
| `pipeline.joblib` | optional, for people; never read by serving and not part of the digest |
"""

from models.content import BundleContent, Calibration, Fallback, VectorizerConfig
from models.manifest import FORMAT_VERSION, FileEntry, Manifest
from models.problems import BundleError, BundleProblem
from models.reader import Bundle, read_manifest
from models.writer import write_bundle

__all__ = [
    "FORMAT_VERSION",
    "Bundle",
    "BundleContent",
    "BundleError",
    "BundleProblem",
    "Calibration",
    "Fallback",
    "FileEntry",
    "Manifest",
    "VectorizerConfig",
    "read_manifest",
    "write_bundle",
]
