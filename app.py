"""Dataset Distillery: the entry point. Page settings and navigation are in `pages/ui/frame.py`, each page in `pages/`."""

from pages.ui import frame

frame.open_page()
