"""A result that comes as a file becomes a run: shown, compared, evaluated again, and begun from like any other."""

import tempfile
from collections.abc import Generator
from pathlib import Path

from engine.core.checkpoint import write_atomically
from engine.core.config import RunRequest, checked
from engine.core.errors import DataError, RunError
from engine.core.events import Event, Finished, Started, Stopped
from engine.runs.store import Store
from engine.synthetic import SyntheticSet, load
from engine.synthetic.base import Shown


def adopt(store: Store, content: bytes, name: str) -> str:
    """Store a result file as a finished run without scores; the new run's id.

    Args:
        content: the bytes of a .safetensors file that this program wrote.
        name: of the file; used in messages, and for a run that had no name.

    Raises:
        DataError: the file is not a result, or does not say how it was made.
        RunError: the disk refuses; nothing is left behind.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(name).name or "result.safetensors")
        path.write_bytes(content)
        synthetic = load(path)
    if synthetic.request is None or synthetic.preparation is None:
        what = f"{name} does not say which run made it."
        raise DataError(f"{what} Load a result.safetensors that was exported by this version.")
    request = checked(RunRequest, synthetic.request, name)
    own_name = request.name or Path(name).stem[:100]
    request = request.model_copy(update={"name": own_name, "start": "", "action": "distill", "sweep": ""})
    run_id = store.submit(request, status="running")
    try:
        write_atomically(store.folder(run_id) / "result.safetensors", content)
        store.append(run_id, list(_events(synthetic, synthetic.preparation, Path(name).name)))
    except BaseException as error:
        # nobody works on it, so it would stay "running"
        store.append(run_id, [Stopped(0)])
        store.delete(run_id)
        if isinstance(error, OSError):
            what = f"{name} cannot be kept in {store.root} ({error.strerror})."
            raise RunError(f"{what} Free some space there and load it again.") from error
        raise
    return run_id


def _events(synthetic: SyntheticSet, preparation: Shown, file_name: str) -> Generator[Event, None, None]:
    yield Started(synthetic.step, {"loaded_from": file_name, "class_names": list(synthetic.spec.class_names)})
    yield synthetic.preview(synthetic.step, preparation)
    yield Finished(synthetic.sizes())
