"""Named configs of OHLC distillation: what runs in minutes here, and the published system's settings."""

from __future__ import annotations

from typing import Any

from engine.methods.method import Preset

SOURCES = {"simulated_prices": "on the simulated prices", "prices": "on three tokens of 2,000 to 2,900 daily bars"}
"""Sources and kinds of sources, with what their times were measured on."""
LSTM = {"name": "lstm", "depth": 1, "width": 32, "init": "default"}
TRANSFORMER = LSTM | {"name": "transformer"}
PUBLISHED_LSTM = {"name": "lstm", "depth": 2, "width": 64, "init": "xavier"}
MACHINE = "measured on two cores without a graphics card"

LONG: dict[str, Any] = {
    "student": LSTM, "unroll_length": 50, "student_lr": 0.02, "rates_lr": 0.02, "outer_lr": 0.1, "outer_decay": "cosine",
    "outer_steps": 100, "real_batch": 1024, "validation_steps": 50, "validation_students": 4,
}  # fmt: skip
QUICK = LONG | {
    "unroll_length": 30, "outer_steps": 60, "real_batch": 512, "num_validations": 10, "validation_steps": 30,
    "validation_students": 2,
}  # fmt: skip
# There is next to nothing to learn, and the best of many validations is the luckiest: few steps, and the last set.
CLOSE = LONG | {"unroll_length": 10, "validation_steps": 10, "student_lr": 0.1, "outer_steps": 200, "keep": "last"}
PUBLISHED = {
    "student": PUBLISHED_LSTM, "images_from": "noise", "unroll_length": 10, "student_lr": 0.01, "outer_lr": 0.001,
    "rates_lr": 0.001, "outer_steps": 1000, "num_inits": 4, "real_batch": 256, "validation_steps": 10, "clip": "none",
    "keep": "last",
}  # fmt: skip
EVALUATION = {"inner_steps": 120, "students": ["transformer"]}
OF_TRANSFORMER = EVALUATION | {"students": ["lstm"]}


def _presets(source: str, told: str) -> tuple[Preset, ...]:
    def preset(key: str, title: str, cost: str, config: dict, windows: dict, evaluation: dict) -> Preset:
        return Preset(key, title, source, cost, config, {"windows": windows}, evaluation)

    return (
        preset(
            "quick",
            "Quick: volatility, one sequence a token",
            f"about a minute {told}, {MACHINE}",
            QUICK,
            {"target": "volatility"},
            {"inner_steps": 120, "num_students": 2},
        ),
        preset(
            "volatility",
            "Volatility",
            f"one to three minutes {told}, {MACHINE}",
            LONG,
            {"target": "volatility"},
            EVALUATION,
        ),
        preset(
            "volatility_transformer",
            "Volatility, for a Transformer",
            f"one to three minutes {told}, {MACHINE}",
            LONG | {"student": TRANSFORMER, "student_lr": 0.01},
            {"target": "volatility"},
            OF_TRANSFORMER,
        ),
        preset(
            "volatility_noise",
            "Volatility, begun from noise",
            f"one to three minutes {told}, {MACHINE}; keeps away from real windows",
            LONG | {"images_from": "noise"},
            {"target": "volatility"},
            EVALUATION,
        ),
        preset(
            "next_close",
            "Next close",
            f"one to three minutes {told}, {MACHINE}",
            CLOSE,
            {"target": "close"},
            EVALUATION,
        ),
        preset(
            "next_close_transformer",
            "Next close, for a Transformer",
            f"about a minute {told}, {MACHINE}",
            CLOSE | {"student": TRANSFORMER, "student_lr": 0.02},
            {"target": "close"},
            OF_TRANSFORMER,
        ),
        preset(
            "direction",
            "Direction",
            f"one to three minutes {told}, {MACHINE}",
            LONG,
            {"target": "direction"},
            EVALUATION,
        ),
        preset(
            "published",
            "As published (scaled prices, next close)",
            "a time that nobody has measured: it is made of 1,000 outer steps, and the published system distilled nothing",
            PUBLISHED,
            {"target": "close", "features": "prices"},
            {"inner_steps": 100},
        ),
    )


PRESETS: tuple[Preset, ...] = tuple(each for source, told in SOURCES.items() for each in _presets(source, told))
