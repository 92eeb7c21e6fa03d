"""Running comparisons of small sets."""

from __future__ import annotations

import pytest

from engine import Context, EvaluationConfig, StudentConfig
from engine.core.config import MethodConfig
from engine.data.source import Splits
from engine.evaluation import comparison as comparisons
from engine.evaluation.forecasting.comparison import ForecastComparison
from engine.evaluation.labelled import LabelledComparison
from engine.synthetic.base import SyntheticSet


def labelled(
    synthetic: SyntheticSet, splits: Splits, student: StudentConfig, evaluation: EvaluationConfig, context: Context
) -> LabelledComparison:
    """The comparison of a set of labelled samples that some method made."""
    return LabelledComparison(splits, MethodConfig(student=student), evaluation, context, synthetic)


def forecasts(
    synthetic: SyntheticSet,
    splits: Splits,
    student: StudentConfig,
    evaluation: EvaluationConfig,
    context: Context,
    others: dict[str, Splits] | None = None,
) -> ForecastComparison:
    """The comparison of a set of windows that some method made."""
    return ForecastComparison(splits, MethodConfig(student=student), evaluation, context, synthetic, others)


def events_of(comparison) -> list:
    """Everything that a comparison yields. Units of work are timed once each, not for as long as is useful."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparisons, "QUICK_SECONDS", 0.0)
        return list(comparisons.run(comparison, comparison.plan()))
