"""The rules of the house that no linter knows: layers, cycles, sizes, clocks, docstrings. All read from the source."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("schemas", "models", "training", "worker", "integration_tests")

# Which packages a package may import, itself aside.
ALLOWED = {
    "schemas": set[str](),
    "models": set[str](),
    "training": {"schemas", "models"},
    "worker": {"schemas", "models"},
    "integration_tests": {"schemas", "models", "training", "worker"},
}
# `clf train` and `clf evaluate` are mounted there.
REACHES_TRAINING = {"worker.cli"}

# Tests share names with what they test, so their own sizes count too, but these may be longer, each for its reason.
MAX_LINES, MAX_FUNCTION_LINES = 400, 50
LONG_FILES = {
    "models/tests/test_bundle.py": "one corrupted bundle after the other, in a table",
    "worker/tests/test_loop.py": "one class, whose every behaviour has its test",
    "integration_tests/test_ports.py": "two contracts and their subclasses belong side by side",
}
LONG_FUNCTIONS: dict[str, str] = {}

# The only importers of the client. The loops written by hand are what the worker is measured against, and the broker
# helpers of the integration tests look at the cluster from outside.
CLIENT_IMPORTERS = {"worker.kafka.consumer", "worker.kafka.producer", "worker.kafka.admin"}
CLIENT_EXCEPTIONS = {
    "worker.bench.plain_loops",
    "worker.kafka.registry",  # the registry's client, which is another one: HTTP, with errors of its own
}

# The crate of the native scorer, and its one file that may do what the compiler cannot check.
CRATE = ROOT / "models" / "kernel"
RAW = "models/kernel/src/raw.rs"

# What installs and builds is no module of ours, but is shipped too.
SCRIPTS = [ROOT / name for name in ("Makefile", "hatch_build.py", "deploy/kernel.py", "deploy/prerequisites.sh")]


@cache
def tree(path: Path) -> ast.Module:
    """The parsed source."""
    return ast.parse(path.read_text("utf-8"))


@cache
def sources() -> dict[str, Path]:
    """Every module of ours by its dotted name, tests included, generated code aside."""
    found = {}
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            if "__pycache__" not in path.parts and not path.stem.endswith("_pb2"):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def shipped() -> dict[str, Path]:
    """The modules that are no tests."""
    return {
        name: path
        for name, path in sources().items()
        if "tests" not in name.split(".") and not name.startswith("integration_tests")
    }


def modules_of_tests() -> dict[str, Path]:
    """The modules that are tests or help tests."""
    return {name: path for name, path in sources().items() if name not in shipped()}


@cache
def rust() -> list[Path]:
    """Every Rust source of ours: the crate, its tests and its fuzz targets."""
    return sorted(path for path in CRATE.rglob("*.rs") if "target" not in path.relative_to(CRATE).parts)


def relative(path: Path) -> str:
    """As one names it."""
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """Every dotted name a file imports, wherever in it: also inside functions, and by name as `clf` mounts commands."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}: a relative import"
            module = node.module or ""
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = re.fullmatch(r"((?:\w+\.)+\w+):\w+", node.value)
            names |= {match[1]} if match else set()
    return names


@cache
def graph() -> dict[str, set[str]]:
    """From each shipped module to those of ours that it imports."""
    modules = shipped()
    return {name: {found for found in imported(path) if found in modules} - {name} for name, path in modules.items()}


# --- layers --------------------------------------------------------------------------------------------------


def test_the_source_is_found() -> None:
    """The tests below look at all of it, not at an empty folder, and see lazily mounted commands too."""
    assert {name.partition(".")[0] for name in shipped()} == set(LAYERS) - {"integration_tests"}
    assert len(shipped()) > 60
    assert "training.cli" in graph()["worker.cli"]
    assert "worker.commands.worker" in graph()["worker.cli"]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str) -> None:
    """No module imports a package above its own; the worker reaches training from one place only."""
    wrong = []
    for name, path in sources().items():
        if name.partition(".")[0] != layer:
            continue
        allowed = ALLOWED[layer] | {layer} | ({"training"} if name in REACHES_TRAINING else set())
        packages = {found.partition(".")[0] for found in imported(path)} & set(LAYERS)
        wrong += [f"{name} imports {package}" for package in sorted(packages - allowed)]
    assert wrong == []


def test_no_cycles() -> None:
    """No module reaches itself through its imports, lazy ones included."""
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in finished:
            for found in sorted(graph()[name]):
                visit(found, (*path, name))
            finished.add(name)

    for name in graph():
        visit(name, ())


def test_the_stream_knows_no_client() -> None:
    """The loop and the scoring core reach neither Kafka's adapters, nor the port, nor the command line."""
    reached = {
        found
        for name in graph()
        if name.startswith(("worker.stream", "worker.classify"))
        for found in closure(name)
        if found.startswith(("worker.kafka", "worker.serve", "worker.commands", "worker.app", "worker.cli"))
    }
    assert reached == set()


def closure(name: str) -> set[str]:
    """All that a module imports, directly or not."""
    reached, open_ends = set[str](), [name]
    while open_ends:
        for found in graph()[open_ends.pop()] - reached:
            reached.add(found)
            open_ends.append(found)
    return reached


def test_few_modules_import_the_client() -> None:
    """Three, whose errors are mapped in one place; whatever else wants Kafka asks them."""
    importers = {
        name
        for name, path in shipped().items()
        if any(found.partition(".")[0] == "confluent_kafka" for found in imported(path))
    }
    assert importers - CLIENT_EXCEPTIONS <= CLIENT_IMPORTERS
    assert len(importers - CLIENT_EXCEPTIONS) <= 3


def test_serving_never_unpickles() -> None:
    """Joblib and pickle are for training and for the loops written by hand."""
    users = {
        name
        for name, path in shipped().items()
        if {found.partition(".")[0] for found in imported(path)} & {"joblib", "pickle", "dill", "cloudpickle", "shelve"}
    }
    allowed = {name for name in users if name.startswith("training.")} | {"worker.bench.plain_loops", "models.writer"}
    assert users <= allowed


# --- clocks --------------------------------------------------------------------------------------------------


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Every call in a file, as it is written, and its line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_nobody_sleeps_in_tests() -> None:
    """A test waits for a condition, through a clock; it never bets on a duration."""
    sleepers = [
        f"{relative(path)}:{line}: {call}"
        for path in modules_of_tests().values()
        for call, line in calls(path)
        if call.rpartition(".")[2] == "sleep" and not re.search(r"clock\b", call, re.IGNORECASE)
    ]
    assert sleepers == []


def test_time_comes_from_the_clock() -> None:
    """Outside clock.py nobody reads the wall clock or waits; `perf_counter` is for what is only shown."""
    wrong = [
        f"{name}:{line}: {call}"
        for name, path in shipped().items()
        for call, line in calls(path)
        if call in {"time.time", "time.sleep", "time.monotonic", "datetime.now", "datetime.datetime.now"}
        and name != "worker.clock"
        and not (call == "datetime.now" and name in {"training.publish", "models.writer"})
    ]
    assert wrong == []


# --- size and docstrings -----------------------------------------------------------------------------------------


def test_files_stay_small() -> None:
    """Past the limit a file hides a piece that wants its own name; exceptions are listed above with their reason."""
    long = {
        relative(path): lines
        for path in [*sources().values(), *rust()]
        if (lines := path.read_text("utf-8").count("\n")) > MAX_LINES
    }
    assert {name: lines for name, lines in long.items() if name not in LONG_FILES} == {}
    assert {name for name in LONG_FILES if name not in long} == set(), "no exception any more"


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, methods included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_stay_small() -> None:
    """The same for functions, their docstring aside."""
    long = {}
    for path in sources().values():
        for function in functions(path):
            docstring = function.body[0] if ast.get_docstring(function) else None
            skipped = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
            lines = (function.end_lineno or 0) - function.lineno + 1 - skipped
            if lines > MAX_FUNCTION_LINES:
                long[f"{relative(path)}:{function.name}"] = lines
    assert {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS} == {}


def test_every_test_says_what_holds() -> None:
    """Each test has a docstring of one sentence first, with a full stop."""
    wrong = []
    for path in modules_of_tests().values():
        for function in functions(path):
            if function.name.startswith("test_"):
                first = (ast.get_docstring(function) or "").partition("\n\n")[0].strip()
                if not first.endswith((".", "?", "!")):
                    wrong.append(f"{relative(path)}:{function.lineno} {function.name}")
    assert wrong == []


def test_suppressions_have_reasons() -> None:
    """Every `noqa` and `type: ignore` names its rule and is followed by a reason, on its line."""
    pattern = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<rest>.*)$")
    reasoned = re.compile(r"^(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*\s*(-|#)|\[[a-z-]+(,\s*[a-z-]+)*\]\s*#).{5,}")
    wrong = [
        f"{relative(path)}:{number}"
        for path in sources().values()
        for number, line in enumerate(path.read_text("utf-8").split("\n"), start=1)
        if (match := pattern.search(line)) and not reasoned.match(match["rest"]) and "pattern =" not in line
    ]
    assert wrong == []


def test_rust_is_unsafe_in_one_file() -> None:
    """What the compiler cannot check stands in one small file; the lint of Cargo.toml refuses it everywhere else."""
    assert relative(CRATE / "src" / "lib.rs") in {relative(path) for path in rust()}
    assert {relative(path) for path in rust() if "unsafe" in path.read_text("utf-8")} <= {RAW}
    settings = [line for line in (CRATE / "Cargo.toml").read_text("utf-8").split("\n") if "unsafe" in line]
    assert [line.partition("#")[0].strip() for line in settings] == ['unsafe_code = "deny"']


def test_rust_suppressions_have_reasons() -> None:
    """Every `allow` and `expect` of a lint says why, in its own `reason`."""
    pattern = re.compile(r"#!?\[\s*(?:cfg_attr\(.*?,\s*)?(?:allow|expect)\((?P<rest>.*?)\)\s*\]", re.DOTALL)
    wrong = [
        f"{relative(path)}: {match[0]}"
        for path in rust()
        for match in pattern.finditer(path.read_text("utf-8"))
        if not re.search(r'\breason = "[^"]{5,}"', match["rest"])
    ]
    assert wrong == []


def test_nothing_points_at_this_machine() -> None:
    """No file that is shipped names a folder of the machine it was written on, or a package registry."""
    words = (
        "/" + "work/",
        "/" + "root/",
        "pypi" + ".org",
        "files." + "pythonhosted",
        "repo1." + "maven",
        "crates" + ".io",
    )
    wrong = [
        f"{relative(path)}: {word}"
        for path in [*sources().values(), *rust(), *SCRIPTS]
        for word in words
        if word in path.read_text("utf-8", errors="replace")
    ]
    assert wrong == []
