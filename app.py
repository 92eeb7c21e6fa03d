"""The entry point of the dashboard. `pages/ui/frame.py` has the page settings and the navigation."""

import pandas  # noqa: F401  before any chart: plotly takes it as whole once another session has begun to import it

from pages.ui import frame

frame.open_page()
