"""Forecasts without a network, as arms of a comparison."""

from engine.evaluation.forecasting.measures import LAST_VALUE, TRAIN_MEAN, reference_of

RECIPES = {
    LAST_VALUE: {
        "close": "No network: the close stays as it is",
        "volatility": "No network: the next move is as large as the last one",
        "direction": "No network: the direction stays as it was",
        "both": "No network: the close stays as it is, the direction as it was",
    },
    TRAIN_MEAN: {
        "close": "No network: the mean log return of the token's training windows",
        "volatility": "No network: the mean absolute log return of the token's training windows",
        "direction": "No network: the share of rises among the token's training windows",
        "both": "No network: the mean log return and the share of rises of the token's training windows",
    },
}
"""The recipe of each, by the task."""
_IN_WORDS = {
    LAST_VALUE: {
        "close": "the last close",
        "both": "the last close",
        "volatility": "the last move",
        "direction": "the last direction",
    },
    TRAIN_MEAN: dict.fromkeys(("close", "both", "volatility"), "the training mean")
    | {"direction": "the training frequencies"},
}
"""The same within a sentence."""


def reference_in_words(task: str) -> str:
    """The naive forecast that skill is relative to, within a sentence."""
    return _IN_WORDS[reference_of(task)][task]
