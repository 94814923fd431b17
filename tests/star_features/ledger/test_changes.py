"""What events said of members and jobs, on both databases."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from star_features.ledger import changes
from star_features.ledger.changes import Happened, Kept
from star_features.ledger.ledger import Ledger
from star_features.ledger.schema import Change


def kept(id: str, at_us: int, tie: str = "a") -> Kept:
    return Kept("job", id, at_us, tie, {"text": f"{id} at {at_us} {tie}"})


def view(identity: str, member: str, job: str, at_us: int = 1) -> Happened:
    return Happened(identity, member, job, "view", at_us, 1.5, 1)


states = st.lists(
    st.builds(kept, st.sampled_from(["j1", "j2"]), st.integers(0, 3), st.sampled_from("ab")),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(states)
def test_the_newest_state_stays_whatever_came_in_which_order(
    ledger: Ledger, told: list[Kept]
) -> None:
    with ledger.begin() as db:
        db.execute(delete(Change))
        for row in told:
            changes.keep(db, [row], 7)
        found = changes.changes_of(db, "job", ["j1", "j2", "j3"])
    wanted = {row.entity_id: row for row in sorted(told, key=lambda r: (r.content_us, r.tie))}
    assert found == wanted


def test_an_interaction_told_twice_is_one(ledger: Ledger) -> None:
    with ledger.begin() as db:
        changes.add_interactions(db, [view("a", "m1", "j1", 2), view("b", "m1", "j2", 1)], 7)
        changes.add_interactions(db, [view("a", "m1", "j1", 2)], 8)
        assert changes.interactions_of(db, "member", ["m1", "m2"]) == {
            "m1": [view("b", "m1", "j2", 1), view("a", "m1", "j1", 2)],
            "m2": [],
        }
        assert changes.interactions_of(db, "job", ["j1"]) == {"j1": [view("a", "m1", "j1", 2)]}
        assert changes.known_interactions(db, ["a", "c"]) == {"a"}


def test_the_version_moves_with_everything_told_and_with_nothing_absorbed(ledger: Ledger) -> None:
    with ledger.begin() as db:
        seen = [changes.version(db)]
        changes.keep(db, [kept("j1", 1)], 7)
        seen.append(changes.version(db))
        changes.keep(db, [kept("j1", 2)], 8)
        seen.append(changes.version(db))
        changes.keep(db, [kept("j1", 1)], 9)  # older: nothing was told
        assert changes.version(db) == seen[-1]
        changes.add_interactions(db, [view("a", "m1", "j1"), view("b", "m1", "j2")], 7)
        changes.add_interactions(db, [view("c", "m1", "j3")], 9)
        seen.append(changes.version(db))
        changes.absorb(db, "job", {"j1": 2})
        changes.absorb_interactions(db, ["a", "c"])
        assert changes.version(db) == seen[-1]
        assert changes.known_interactions(db, "abc") == {"b", "c"}
    assert len(set(seen)) == 4


def test_what_the_source_says_as_well_no_longer_counts_and_its_time_does(ledger: Ledger) -> None:
    with ledger.begin() as db:
        changes.keep(db, [kept("j1", 5), kept("j2", 5)], 7)
        changes.absorb(db, "job", {"j1": 5, "j2": 4})
        found = changes.changes_of(db, "job", ["j1", "j2"])
        assert found == {"j1": kept("j1", 5)._replace(content={}), "j2": kept("j2", 5)}
        changes.keep(db, [kept("j1", 6)], 8)
        assert changes.changes_of(db, "job", ["j1"])["j1"].content


def test_a_deleted_one_is_forgotten_unless_something_newer_was_told(ledger: Ledger) -> None:
    with ledger.begin() as db:
        changes.keep(db, [kept("j1", 5), kept("j2", 5)], 7)
        assert changes.forget_changes(db, "job", {"j1": 5, "j2": 4}) == 1
        assert list(changes.changes_of(db, "job", ["j1", "j2"])) == ["j2"]


def test_all_that_was_told_is_read_in_pages(ledger: Ledger) -> None:
    ids = [f"j{n}" for n in range(5)]
    with ledger.begin() as db:
        changes.keep(db, [kept(id, 1) for id in ids], 7)
        changes.add_interactions(db, [view(id, "m1", id) for id in ids], 7)
    pages = list(changes.all_changes(ledger, "job", page=2))
    assert [[row.entity_id for row in page] for page in pages] == [ids[:2], ids[2:4], ids[4:]]
    happened = list(changes.all_interactions(ledger, page=5))
    assert [[row.job_id for row in page] for page in happened] == [ids]
