"""Whatever the order, however often, in whatever batches: the same events end in the same state."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MEMBERS, JOBS = ("m1", "m2"), ("j1", "j2")
DAYS = st.integers(1, 4).map(lambda day: f"2026-05-{day:02d}T00:00:00Z")
TEXTS = st.sampled_from(["nurse", "cook", "driver"])

Told = Callable[[str], dict[str, Any]]
"""An event, under ids with a prefix."""


def change(tell: Any, entity: str, id: str, at: str, text: str, needs: list[str]) -> Told:
    if entity == "member":
        return lambda prefix: tell.member(prefix + id, at, text)
    return lambda prefix: tell.job(prefix + id, at, text, lists={"needs": needs})


def events(tell: Any) -> st.SearchStrategy[list[Told]]:
    entities = [("member", id) for id in MEMBERS] + [("job", id) for id in JOBS]
    changed = st.builds(
        lambda who, at, text, needs: change(tell, *who, at, text, needs),
        st.sampled_from(entities),
        DAYS,
        TEXTS,
        st.lists(st.sampled_from(["triage", "new skill"]), max_size=2),
    )
    deleted = st.builds(
        lambda who, at: lambda prefix: tell.gone(who[0], prefix + who[1], at),
        st.sampled_from(entities),
        DAYS,
    )
    happened = st.builds(
        lambda member, job, at, kind: (
            lambda prefix: tell.met(
                prefix + member, job if job.startswith("1") else prefix + job, at, kind
            )
        ),
        st.sampled_from(MEMBERS),
        st.sampled_from([*JOBS, "1001", "1002"]),  # the last two are the tables' own
        DAYS,
        st.sampled_from(["applied", "saved"]),
    )
    return st.lists(st.one_of(changed, changed, deleted, happened), min_size=1, max_size=7)


def test_order_repeats_and_batches_change_nothing(place: Any, tell: Any) -> None:
    """Rows of the tables are left out of the comparison: both worlds share them."""

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def law(data: st.DataObject) -> None:
        told = data.draw(events(tell))
        shuffled = data.draw(st.permutations([*told, *data.draw(st.lists(st.sampled_from(told)))]))
        cuts = data.draw(st.lists(st.integers(1, 3), min_size=len(shuffled)))
        plain, other = place.name("p"), place.name("q")
        for event in told:
            place.batch(event(plain))
        while shuffled:
            size = cuts.pop()
            place.batch(*(event(other) for event in shuffled[:size]))
            shuffled = shuffled[size:]
        states = [
            place.state(
                {"member": [p + m for m in MEMBERS], "job": [p + j for j in JOBS]},
                lambda id, p=p: id.removeprefix(p),  # type: ignore[misc]
            )
            for p in (plain, other)
        ]
        assert states[0] == states[1]

    law()


def test_the_same_file_sent_twice_changes_nothing(place: Any, tell: Any) -> None:
    prefix = place.name()
    told = [tell.job(f"{prefix}{n}", "2026-05-01", f"text {n}") for n in range(20)]
    place.work(*told)
    state = place.state({"job": [event["job_id"] for event in told]}, str)
    updates = len(place.updates(f"{prefix}0"))
    place.batch(*told)
    assert place.state({"job": [event["job_id"] for event in told]}, str) == state
    assert len(place.updates(f"{prefix}0")) == updates == 2
