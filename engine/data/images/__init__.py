"""Data sets that a user brought as folders of images: imported once, then chosen like any other.

`import_upload`, `import_zip` and `import_path` are generators of events that return a `FolderSource`; `saved` lists what
is there. What the modules do, in the order of an import: `intake` and `archives` take the files in, `layouts` and
`published` find classes and splits, `decoded` makes the pixels, `report` says what was found, `library` keeps it.
"""

from __future__ import annotations

from engine.data.images.importing import (
    allowed_roots,
    checked_path,
    import_again,
    import_path,
    import_upload,
    import_zip,
)
from engine.data.images.library import delete, rename, saved
from engine.data.images.limits import Limits, limits
from engine.data.images.options import ImportOptions
from engine.data.images.published import suggested_size
from engine.data.images.report import Report
from engine.data.images.source import FolderSource

__all__ = [
    "FolderSource",
    "ImportOptions",
    "Limits",
    "Report",
    "allowed_roots",
    "checked_path",
    "delete",
    "import_again",
    "import_path",
    "import_upload",
    "import_zip",
    "limits",
    "rename",
    "saved",
    "suggested_size",
]
