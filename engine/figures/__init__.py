"""Figures and pictures from events and sets, for pages and reports alike; nothing here knows of Streamlit."""

from engine.figures import formats
from engine.figures.bars import class_counts, runs, scores
from engine.figures.curves import MAX_POINTS, chart_names, chart_of, curve, log_ticks, smooth, spans_decades, thin
from engine.figures.grids import MAX_IMAGES, grid_png, timelapse_gif
from engine.figures.hero import hero_svg
from engine.figures.overlay import overlay, run_style, sweep_line, sweep_map
from engine.figures.palette import ARM_NAMES, PALETTES, PROTOCOL_NOTES, arm_name, protocol_name
from engine.figures.samples import class_samples, prepared_rows
from engine.figures.sizes import image_sizes

__all__ = [
    "ARM_NAMES",
    "MAX_IMAGES",
    "MAX_POINTS",
    "PALETTES",
    "PROTOCOL_NOTES",
    "arm_name",
    "chart_names",
    "chart_of",
    "class_counts",
    "class_samples",
    "curve",
    "formats",
    "grid_png",
    "hero_svg",
    "image_sizes",
    "log_ticks",
    "overlay",
    "prepared_rows",
    "protocol_name",
    "run_style",
    "runs",
    "scores",
    "smooth",
    "spans_decades",
    "sweep_line",
    "sweep_map",
    "thin",
    "timelapse_gif",
]
