"""Loads a result file as a run, which can then be shown, compared, evaluated and started from."""

import tempfile
from pathlib import Path

from engine.core.checkpoint import write_atomically
from engine.core.config import RunRequest, checked
from engine.core.errors import DataError, RunError
from engine.core.events import Finished, Started, Stopped
from engine.runs.store import Store
from engine.synthetic import load


def adopt(store: Store, content: bytes, name: str) -> str:
    """Store a result file as a finished run without scores, and return its id.

    content: the bytes of a .safetensors file that this program wrote. name: of the file; used in messages, and for a
    run that had no name. Raises DataError if the file is not a result or does not say how it was made, RunError if the
    disk is full; nothing is stored then.
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
        facts = {"loaded_from": Path(name).name, "class_names": list(synthetic.spec.class_names)}
        preview = synthetic.preview(synthetic.step, synthetic.preparation)
        store.append(run_id, [Started(synthetic.step, facts), preview, Finished(synthetic.sizes())])
    except BaseException as error:
        store.append(run_id, [Stopped(0)])  # a running one cannot be deleted
        store.delete(run_id)
        if isinstance(error, OSError):
            what = f"{name} cannot be kept in {store.root} ({error.strerror})."
            raise RunError(f"{what} Free some space there and load it again.") from error
        raise
    return run_id
