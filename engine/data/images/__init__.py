"""Image data sets that a user imports from folders and zip files.

`intake` collects files, `layouts` and `published` find classes and splits, `decoded` makes pixels, `report` says what
was found, and the library keeps it.
"""

from engine.data.images.importing import delete, import_again, import_path, import_upload, import_zip
from engine.data.images.options import ImportOptions
from engine.data.images.published import suggested_size
from engine.data.images.report import ImageReport
from engine.data.images.source import LIBRARY, FolderSource
from engine.data.imported.folders import allowed_roots, checked_path
from engine.data.imported.limits import limits

rename, saved = LIBRARY.rename, LIBRARY.saved

__all__ = ["FolderSource", "ImageReport", "ImportOptions", "allowed_roots", "checked_path", "delete"]
__all__ += ["import_again", "import_path", "import_upload", "import_zip", "limits", "rename", "saved", "suggested_size"]
