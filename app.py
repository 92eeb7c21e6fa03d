"""The entry point of the dashboard. `pages/ui/frame.py` has the page settings and the navigation."""

import pandas  # noqa: F401  before any chart: plotly would use a pandas that another session is still importing

from pages.ui import frame

frame.open_page()
