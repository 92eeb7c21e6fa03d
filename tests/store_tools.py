"""What several tests do with a store: read a run's log, and make the index again."""

from engine.runs import log
from engine.runs.store import Store


def records(store: Store, run_id: str) -> list[log.Record]:
    """The log of a run, oldest first."""
    return list(log.read(store.folder(run_id) / "events.jsonl"))


def rebuild(store: Store) -> None:
    """Delete the database and make it again from the folders alone."""
    for path in store.root.glob("runs.db*"):
        path.unlink()
    Store(store.root)
