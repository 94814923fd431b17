"""
Print the feature repository as Feast understands it: sorted, one line a fact.

    STAR_HOME=… python tests/feature_repo/compile_repo.py > tests/feature_repo/golden.txt

Of feature_repo/, or of the folder that is given. A script of its own, because Feast
imports the repository's files by flat names.
"""

import os
import sys
from pathlib import Path

REPO = Path(__file__).parents[2] / "feature_repo"


def lines(home: str, folder: Path) -> list[str]:
    from feast.repo_operations import parse_repo

    repo = parse_repo(folder)
    found = [f"entity {e.name}: key {e.join_key}, {e.value_type.name}" for e in repo.entities]
    for view in repo.feature_views:
        source = view.batch_source
        found += [
            f"view {view.name}: entities {', '.join(view.entities)}; ttl {view.ttl}; "
            f"online {view.online}; tags {dict(sorted(view.tags.items()))}",
            f"view {view.name}: source {source.path.replace(home, '$STAR_HOME')}; "
            f"times {source.timestamp_field}, {source.created_timestamp_column}",
        ]
        found += [
            f"view {view.name}: field {f.name}: {f.dtype}; vector index {f.vector_index}, "
            f"metric {f.vector_search_metric}"
            for f in view.schema
        ]
    for service in repo.feature_services:
        found += [
            f"service {service.name}: {p.name} as {p.name_alias or p.name}: "
            + ", ".join(f.name for f in p.features)
            for p in service.feature_view_projections
        ]
    return sorted(found)


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve() if sys.argv[1:] else REPO
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    print("\n".join(lines(str(Path(os.environ["STAR_HOME"]).resolve()), folder)))
