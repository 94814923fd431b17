"""Which package may import which; docs/architecture.md says it in words."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAVY = {"torch", "dgl", "transformers", "peft"}
# folder: what it must never import, at any depth of its files
FORBIDDEN = {
    "feature_repo": {"pipelines", "benchmarks", "tests"} | HEAVY,
    "star_features": {"pipelines", "feature_repo", "benchmarks", "tests"},
    "star_features/text": {"feast", "dgl"},
    "star_features/graph": {"feast", "transformers"},
    "star_features/tables": {"feast"} | HEAVY,
    "star_features/market": {"feast"} | HEAVY,
    "star_features/ranking": {"feast"} | HEAVY,
    "star_features/evaluation": {"feast"} | HEAVY,
    "star_features/store": HEAVY,
    "star_features/online": HEAVY,
    "star_features/offline": HEAVY,
    "star_features/serving": HEAVY,
    "star_features/ledger": {"feast", "pandas", "numpy"} | HEAVY,
    "star_features/audit": {"pandas"} | HEAVY,
    "star_features/erasure": {"feast", "pandas"} | HEAVY,
    "star_features/release": HEAVY,
    "star_features/compat": {"feast", "pandas"} | HEAVY,
    "star_features/events": {"feast", "sqlalchemy", "duckdb"} | HEAVY,
    "pipelines": {"feature_repo", "dgl", "benchmarks", "tests"},
}
THE_DGL_MODULE = Path("star_features/graph/dgl_graph.py")


def imports(path: Path) -> set[str]:
    """First-level names of all imports of a file, wherever they stand in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("folder", [name for name in FORBIDDEN if (ROOT / name).exists()])
def test_no_file_imports_what_its_layer_must_not(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    bad = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in files
        if (found := imports(path) & FORBIDDEN[folder]) and path.relative_to(ROOT) != THE_DGL_MODULE
    }
    assert bad == {}


def test_dgl_is_imported_in_one_module() -> None:
    files = [p for folder in ("star_features", "pipelines") for p in (ROOT / folder).rglob("*.py")]
    assert [p.relative_to(ROOT) for p in files if "dgl" in imports(p)] == [THE_DGL_MODULE]


def test_no_package_reads_the_environment_or_the_clock_inside_star_features() -> None:
    """The DGL module sets two variables that DGL itself reads at import; nothing else does."""
    found = []
    for path in (ROOT / "star_features").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "utcnow"):
                found.append(path.relative_to(ROOT))
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "datetime.now",
                "time.time",
            ):
                found.append(path.relative_to(ROOT))
    assert set(found) <= {THE_DGL_MODULE}


@pytest.mark.parametrize(
    "module",
    [
        "star_features.spaces",
        "star_features.catalogue",
        "star_features.text",
        "star_features.graph",
        "star_features.store.training",
        "star_features.ranking.ranker",
    ],
)
def test_what_a_ranker_imports_loads_neither_torch_nor_dgl(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {sorted(HEAVY)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_no_file_is_longer_than_one_question() -> None:
    folders = ("star_features", "pipelines", "feature_repo", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    long = {
        str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().split("\n"))) > 410
    }
    assert long == {}
