"""Events in the ledger: each is in one hand at a time, and none is lost with its holder."""

from concurrent.futures import ThreadPoolExecutor

from star_features.ledger import outbox
from star_features.ledger.ledger import Ledger
from star_features.ledger.outbox import Letter

TOPIC = "star.changes"


def fill(ledger: Ledger, *letters: Letter) -> int:
    with ledger.begin() as db:
        return outbox.put(db, TOPIC, letters, 1)


def take(ledger: Ledger, holder: str, most: int = 10, now_us: int = 0) -> list[str]:
    held = outbox.claim(ledger, TOPIC, holder, most=most, lease_us=100, now_us=now_us)
    return [one.payload for one in held]


def test_an_event_sent_twice_is_one_even_when_it_is_done(ledger: Ledger) -> None:
    assert fill(ledger, Letter("j1", "a", "e1"), Letter("j1", "b"), Letter("j1", "b")) == 3
    assert fill(ledger, Letter("j1", "a", "e1")) == 0
    held = outbox.claim(ledger, TOPIC, "me", most=9, lease_us=100, now_us=0)
    with ledger.begin() as db:
        outbox.done(db, [one.id for one in held])
        assert outbox.waiting(db, TOPIC) == 0
        assert [one.payload for one in outbox.after(db, TOPIC, 0)] == ["", "", ""]
    assert fill(ledger, Letter("j1", "a", "e1")) == 0


def test_one_identity_on_two_topics_is_two_events(ledger: Ledger) -> None:
    assert fill(ledger, Letter("j1", "a", "e1")) == 1
    with ledger.begin() as db:
        assert outbox.put(db, "star.embeddings", [Letter("j1", "a", "e1")], 1) == 1


def test_events_are_claimed_in_order(ledger: Ledger) -> None:
    fill(ledger, *(Letter(f"j{n}", str(n)) for n in range(4)))
    assert take(ledger, "me", most=3) == ["0", "1", "2"]
    assert take(ledger, "me") == ["3"]
    assert take(ledger, "me") == []


def test_events_of_one_key_are_in_one_hand(ledger: Ledger) -> None:
    fill(ledger, Letter("j1", "1"), Letter("j2", "2"), Letter("j1", "3"))
    assert take(ledger, "me", most=1) == ["1"]
    assert take(ledger, "you") == ["2"]
    assert take(ledger, "me") == ["3"]


def test_a_dead_holder_loses_its_events_when_the_lease_ends(ledger: Ledger) -> None:
    fill(ledger, Letter("j1", "1"))
    assert take(ledger, "dead", now_us=0) == ["1"]
    assert take(ledger, "me", now_us=99) == []
    held = outbox.claim(ledger, TOPIC, "me", most=1, lease_us=100, now_us=100)
    assert (held[0].payload, held[0].attempts) == ("1", 2)


def test_a_lease_that_is_renewed_holds(ledger: Ledger) -> None:
    fill(ledger, Letter("j1", "1"))
    take(ledger, "me", now_us=0)
    assert outbox.renew(ledger, TOPIC, "me", lease_us=100, now_us=90) == 1
    assert take(ledger, "you", now_us=150) == []


def test_what_is_given_back_is_free_at_once(ledger: Ledger) -> None:
    fill(ledger, Letter("j1", "1"))
    take(ledger, "me")
    with ledger.begin() as db:
        outbox.give_back(db, TOPIC, "you")
    assert take(ledger, "you") == []
    with ledger.begin() as db:
        outbox.give_back(db, TOPIC, "me")
    assert take(ledger, "you") == ["1"]


def test_workers_that_claim_at_once_share_no_event_and_no_key(ledger: Ledger) -> None:
    fill(ledger, *(Letter(f"j{n % 7}", f"{n % 7} {n}") for n in range(60)))

    def work(name: str) -> list[str]:
        return [one for _ in range(6) for one in take(ledger, name, most=5)]

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(work, ["a", "b", "c"]))
    taken = [one for share in shares for one in share]
    assert len(taken) == len(set(taken))
    keys = [{one.split()[0] for one in share} for share in shares]
    assert sum(map(len, keys)) == len(set().union(*keys))


def test_what_is_done_and_old_is_swept(ledger: Ledger) -> None:
    fill(ledger, Letter("j1", "1"), Letter("j2", "2"))
    held = outbox.claim(ledger, TOPIC, "me", most=1, lease_us=100, now_us=0)
    with ledger.begin() as db:
        outbox.done(db, [held[0].id])
        assert outbox.sweep(db, TOPIC, before_us=1) == 0
        assert outbox.sweep(db, TOPIC, before_us=2) == 1
        assert outbox.waiting(db, TOPIC) == 1
        assert outbox.last_place(db, TOPIC) == held[0].id + 1
