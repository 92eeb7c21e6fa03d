"""The entry point of the dashboard. `pages/ui/frame.py` has the page settings and the navigation."""

from pages.ui import frame

frame.open_page()
