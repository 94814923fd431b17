"""
Metrics for Prometheus, read from the ledger when they are asked for.

    print(exposition(home, schedule, now))              # star metrics
    Endpoint(home, path, alive).start("127.0.0.1:9464") # /metrics, /healthz, /readyz

What costs seconds (freshness reads every id) is measured at most once a minute, whoever asks.
"""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Connection, func, select

from pipelines.freshness import QUANTILES, Freshness, freshness
from pipelines.home import Home
from pipelines.jobs import logs
from pipelines.jobs.settings import Schedule
from pipelines.materialize import histories
from pipelines.recording import opened
from star_features.errors import MissingStage, UsageError
from star_features.ledger.journal import count as count_journal
from star_features.ledger.schema import Outbox, Quarantine, Run, Slot, Tombstone
from star_features.ledger.vectors import counts
from star_features.store.feast_store import config_path, fingerprint

FRESH_S = 60.0
"""How long a measured freshness is shown again."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Measured:
    """What a home can say of itself, as Prometheus collects it."""

    def __init__(self, home: Home, schedule: Schedule, now: Callable[[], datetime]) -> None:
        self.home, self.schedule, self.now = home, schedule, now
        self._lines: list[Freshness] = []
        self._measured = float("-inf")

    def collect(self) -> Iterator[Metric]:
        with opened(self.home) as ledger, ledger.read() as db:
            yield from _of_jobs(db)
            yield from _of_events(db)
        if config_path(self.home.path).exists():
            yield from self._of_views()
            yield from _of_freshness(self._fresh())

    def _of_views(self) -> Iterator[Metric]:
        place = fingerprint(self.home.path)
        rows = _gauge("star_vectors", "Entities with a row.", ["view"])
        pending = _gauge("star_vectors_pending", "Rows that are not online yet.", ["view"])
        with opened(self.home) as ledger:
            for history in histories(self.home):
                found = counts(ledger, history.view, place)
                rows.add_metric([history.view], found.rows)
                pending.add_metric([history.view], found.pending)
        yield from (rows, pending)

    def _fresh(self) -> list[Freshness]:
        if time.monotonic() - self._measured > FRESH_S:
            self._lines = list(freshness(self.home, self.schedule, self.now()))
            self._measured = time.monotonic()
        return self._lines


def exposition(home: Home, schedule: Schedule, now: datetime) -> str:
    """Everything, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(Measured(home, schedule, lambda: now))
    return str(generate_latest(registry).decode())


class Endpoint:
    """The scheduler's HTTP endpoint.

    Args:
        alive: whether the loop still turns.
    """

    def __init__(self, home: Home, schedule: Schedule, alive: Callable[[], bool]) -> None:
        self.home, self.alive = home, alive
        self.registry = CollectorRegistry()
        self.registry.register(Measured(home, schedule, lambda: datetime.now(UTC)))
        self.one_at_a_time = threading.Lock()

    def start(self, listen: str) -> ThreadingHTTPServer:
        """Answer at HOST:PORT from a thread of its own; `shutdown()` ends it.

        Raises:
            UsageError: there is no such address, or somebody listens there.
        """
        host, _, port = listen.rpartition(":")
        try:
            server = ThreadingHTTPServer((host, int(port)), _handler(self))
        except (ValueError, OSError) as error:
            raise UsageError(
                f"listen = {listen!r}: {error}\nWanted HOST:PORT of this machine."
            ) from error
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
        return server

    def answer(self, path: str) -> tuple[int, str]:
        """Status and body."""
        if path == "/healthz":
            return (200, "ok\n") if self.alive() else (503, "the loop stands still\n")
        if path == "/readyz":
            return self._ready()
        if path == "/metrics":
            with self.one_at_a_time:
                return 200, generate_latest(self.registry).decode()
        return 404, "wanted /metrics, /healthz or /readyz\n"

    def _ready(self) -> tuple[int, str]:
        try:
            with opened(self.home) as ledger, ledger.read() as db:
                db.execute(select(1))
            return 200, "ok\n"
        except Exception as error:
            return 503, f"the ledger does not answer: {logs.told(error)}\n"


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                status, body = endpoint.answer(self.path.partition("?")[0])
            except MissingStage as error:  # nothing was computed yet
                status, body = 503, f"{error}\n"
            except Exception as error:
                logs.say("metrics_failed", error=logs.told(error))
                status, body = 500, "see the log\n"
            self.send_response(status)
            self.send_header("Content-Type", TEXT)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Who asked for metrics is nobody's business."""

    return Handler


def _of_jobs(db: Connection) -> Iterator[Metric]:
    runs = CounterMetricFamily("star_runs", "Tries of a job.", labels=["job", "state"])
    for job, state, count in db.execute(
        select(Run.job, Run.state, func.count()).group_by(Run.job, Run.state)
    ):
        runs.add_metric([job, state], count)
    slots = _gauge("star_slots", "Slots of a job by state.", ["job", "state"])
    for job, state, count in db.execute(
        select(Slot.job, Slot.state, func.count()).group_by(Slot.job, Slot.state)
    ):
        slots.add_metric([job, state], count)
    last = _gauge("star_last_success_timestamp_seconds", "End of the last good run.", ["job"])
    took = _gauge("star_last_success_seconds", "How long it took.", ["job"])
    done = select(Run.job, func.max(Run.id)).where(Run.state == "done").group_by(Run.job)
    for _, number in db.execute(done).all():
        one = select(Run.job, Run.started_us, Run.finished_us).where(Run.id == number)
        job, started_us, finished_us = db.execute(one).one()
        last.add_metric([job], (finished_us or started_us) / 1e6)
        took.add_metric([job], ((finished_us or started_us) - started_us) / 1e6)
    yield from (runs, slots, last, took)


def _of_events(db: Connection) -> Iterator[Metric]:
    waiting = _gauge("star_outbox_waiting", "Events that wait, by topic.", ["topic"])
    in_line = select(Outbox.topic, func.count()).where(Outbox.state != "done")
    for topic, count in db.execute(in_line.group_by(Outbox.topic)):
        waiting.add_metric([topic], count)
    aside = _gauge("star_quarantine", "Inputs set aside, by source.", ["source"])
    held = select(Quarantine.source, func.count()).where(Quarantine.state == "held")
    for source, count in db.execute(held.group_by(Quarantine.source)):
        aside.add_metric([source], count)
    graves = _gauge("star_tombstones", "Entities that are gone.", ["entity", "kind"])
    gone = select(Tombstone.entity, Tombstone.kind, func.count())
    for entity, kind, count in db.execute(gone.group_by(Tombstone.entity, Tombstone.kind)):
        graves.add_metric([entity, kind], count)
    journal = _gauge("star_journal_rows", "Rows online that wait for the history.", [])
    journal.add_metric([], count_journal(db))
    yield from (waiting, aside, graves, journal)


def _of_freshness(lines: list[Freshness]) -> Iterator[Metric]:
    families = {
        "entities": _gauge("star_fresh_entities", "Who should have a row.", ["view"]),
        "behind": _gauge("star_fresh_behind", "Rows made from older content.", ["view"]),
        "holes": _gauge("star_fresh_holes", "Entities without a row.", ["view"]),
        "share": _gauge("star_fresh_share", "Share within the objective.", ["view"]),
        "wanted": _gauge("star_fresh_share_wanted", "The objective's share.", ["view"]),
        "within_s": _gauge("star_fresh_within_seconds", "The objective's time.", ["view"]),
    }
    late = _gauge(
        "star_fresh_late_seconds", "Since the change, of who is behind.", ["view", "quantile"]
    )
    content = _gauge(
        "star_fresh_content_seconds", "Age of the content served.", ["view", "quantile"]
    )
    for line in lines:
        for name, family in families.items():
            family.add_metric([line.view], float(getattr(line, name)))
        for quantile, late_s, content_s in zip(QUANTILES, line.late_s, line.content_s, strict=True):
            late.add_metric([line.view, str(quantile)], late_s)
            content.add_metric([line.view, str(quantile)], content_s)
    yield from (*families.values(), late, content)


def _gauge(name: str, help: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, labels=labels)
