"""Figures and pictures from events and sets, for pages and reports alike; nothing here knows of Streamlit."""

from engine.figures import formats
from engine.figures.budget import Budgeted, Published, accuracy_against_bytes, bits_against_bytes
from engine.figures.curves import chart_names, chart_of, curve, overlay, spans_decades
from engine.figures.forecasts import adaptation, autocorrelation, forecast, nearest_distances, tails, target_words
from engine.figures.grids import MAX_IMAGES, data_url, grid_png, rows_png, timelapse
from engine.figures.hero import hero_svg
from engine.figures.labels import FEW_CLASSES, class_weights, label_heatmap, label_map, learned_map
from engine.figures.networks import by_expert, expert_curves, matched_steps, teacher_accuracy, teacher_loss
from engine.figures.palette import (
    ARM_NAMES,
    NAIVE_ARMS,
    arm_name,
    measure,
    protocol_name,
    protocol_notes,
    protocol_place,
    protocol_words,
    spread,
)
from engine.figures.poster import MAX_POINTED, numbered_classes, poster_html, poster_png, poster_timelapse
from engine.figures.prices import candles, history, history_parts, return_histogram, return_statistics, window_samples
from engine.figures.representations import MAPS, approximation_errors, representation_map, spectrum
from engine.figures.samples import class_counts, class_samples, image_sizes, prepared_rows
from engine.figures.scores import (
    confusion,
    matrix,
    matrix_arms,
    matrix_csv,
    over_steps,
    runs,
    scores,
    sweep_line,
    sweep_map,
)
