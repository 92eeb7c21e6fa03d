"""Price sequences with targets: networks trained on them are compared by the skill of their forecasts."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from engine import figures
from engine.core.config import DataConfig, EvaluationConfig, RunRequest, Size
from engine.data.source import Source, TaskSpec
from engine.evaluation.forecasting.naive import reference_in_words
from engine.evaluation.forecasting.privacy import COPY, num_close
from engine.evaluation.scores import SKILL, Row, by_measure
from engine.figures import formats
from engine.results import shared
from engine.results.kind import Kind
from engine.results.run import Run
from engine.results.sections import Chart, Choice, Group, Metric, Metrics, Section, Sentence, Table
from engine.results.shared import arm_table, boxed, noted

TARGETS = {
    "close": "next close",
    "both": "next close and direction",
    "volatility": "volatility",
    "direction": "direction",
}
MEASURES = {
    SKILL: "Skill (%)",
    "mae": "MAE (%)",
    "rmse": "RMSE (%)",
    "r2": "R²",
    "skill_last_value": "Skill against last value (%)",
    "hit_rate": "Hit rate (%)",
    "balanced_accuracy": "Balanced accuracy (%)",
    "mcc": "MCC",
}


class Forecasts(Kind):
    """Price sequences with targets."""

    key, takes, sample, real, measure = "forecasts", "prices", "sequence", "window", "skill"
    labels, has_loss = ("Distilled, test skill", "Skill, validation"), False
    counted = "Bytes as stored: real windows take 2 per value. In the full data set, a bar counts once for each window."
    stored, findings_title, value_bytes = "bars and targets", "Privacy and fidelity", 2
    phrases = {
        "distilled": ("after training on {}", "distilled sequence"),
        "random_real": ("on {} of equal bytes", "random real window"),
        "random_samples": ("on {} (as many samples)", "random real window"),
        "kmeans_real": ("on {} of equal bytes, chosen by k-means", "real window"),
        "start": ("on the starting set", ""),
        "full": ("on all {}", "real window"),
    }

    def planned_train(self, source: Source, data: DataConfig) -> int:
        windows = data.windows
        return max(1, round(source.num_train * (1 - windows.validation_fraction) / windows.stride))

    def comparison(self, evaluation: EvaluationConfig) -> str:
        full = ", with training on all windows" if evaluation.compare_full else ""
        baselines = "baselines that need no training: the last value and the training mean"
        real = "random and k-means real windows of equal bytes, with as many random real windows"
        return f"compare it with {real}, with the starting set unless that is noise{full}, and with {baselines}"

    def size(self, request: RunRequest, size: Size, spec: TaskSpec) -> str:
        """The target, and the number of sequences per token."""
        each = formats.counted(size.num_samples // max(1, len(spec.class_names)), "sequence")
        return f"{self.group(request)}, {each} per token"

    def group(self, request: RunRequest) -> str:
        """What a run forecasts, in words."""
        return TARGETS[request.data.windows.target]

    def beside(self, run: Run) -> list[Metric]:
        """The better forecast without a network; before one was measured, the one that skill is relative to."""
        found = [run.best[arm] for arm in figures.NAIVE_ARMS if arm in run.best] if run.is_compared else []
        if not found:
            reference = reference_in_words(run.target).removeprefix("the ")
            return [Metric("Naive forecast", formats.percent(0.0), reference)]
        better = max(found, key=lambda row: row.mean)
        is_mean = better.arm == "train_mean" and run.target == "direction"
        name = "training frequencies" if is_mean else figures.arm_name(better.arm).lower()
        return [Metric("Naive forecast", formats.percent(better.mean), name)]

    def cards(self, run: Run) -> list[Metric]:
        """The scores, and how many sequences are close to a real window if any are."""
        found = super().cards(run)
        close, total = close_to_real(run)
        if close:
            found.append(Metric("Close to a real window", f"{close:,} of {total:,}", "do not share secret prices"))
        return found

    def warning(self, run: Run) -> str:
        """That sequences are close to copies of real windows."""
        close, total = close_to_real(run)
        if not close:
            return ""
        are = "is close to a copy of a real window" if close == 1 else "are close to copies of real windows"
        far = f"less than {COPY:g} times as far from one as real windows are from each other"
        advice = " Start from noise to avoid this." if run.row.request.config.get("images_from") != "noise" else ""
        return (
            f"{close:,} of {total:,} sequences {are} ({far}): do not share this set if the prices are secret.{advice}"
        )

    def verdict(self, run: Run) -> list[Section]:
        """Whether anything beats a naive forecast, sequences that reveal real prices, and the test skills."""
        found = run.analyses.get("verdict")
        said = [Sentence(found["sentence"], "note")] if found else []
        if warning := self.warning(run):
            said.append(Sentence(warning, "warning"))
        return [*said, *shared.outcome(f"Test skill relative to {reference_in_words(run.target)}", run, self.phrases)]

    def measures(self, run: Run) -> list[Section]:
        """Every metric before the table of protocols."""
        protocols = [Group("Every protocol", self.score_table(run, run.own), "fold")] if run.own else []
        return [*shared.storage(run), *self.details(run), *protocols]

    def details(self, run: Run) -> list[Section]:
        """Every metric of each training set, token by token too, and forecasts by date."""
        return [*_metrics(run), *_tokens(run), *_forecasts(run)]

    def findings(self, run: Run) -> list[Section]:
        """What the set reveals and keeps of real prices, and how it helps on a new token."""
        parts = {"privacy": _privacy, "facts": _facts, "adaptation": _adaptation}
        named = [(name.split(":")[0], values) for name, values in run.analyses.items()]
        found: list[Section] = [draw(values) for kind, draw in parts.items() for name, values in named if name == kind]
        if not found and run.row.is_active:
            return [Sentence("Measured after the last outer step.", "caption")]
        return found

    def numbers(self, run: Run) -> dict[str, Any]:
        """{arm: {metric: numbers}} under the best protocol; metrics of one token as "rmse@BTC"."""
        found: dict[str, dict[str, Any]] = {}
        for metric, rows in by_measure(run.scores, run.student.name).items():
            for arm, row in rows.items():
                found.setdefault(arm, {})[metric] = shared.as_json(row)
        return {"ranking": {}, "forecasts": found}


# ---- what counts before the scores ----


def close_to_real(run: Run) -> tuple[int, int]:
    """(sequences close to a copy of a real window, all sequences); zeros before it was measured."""
    nearest = run.analyses.get("privacy", {}).get("nearest")
    return (num_close(nearest), len(nearest["distilled"])) if nearest else (0, 0)


# ---- scores ----


def about_skill(run: Run) -> str:
    """What skill is, in a sentence."""
    error = "log loss" if run.target == "direction" else "squared error"
    reference = reference_in_words(run.target)
    return f"Skill: the share of the {error} of {reference} that a forecast removes; 0 % is no better, 100 % perfect."


def _metrics(run: Run) -> list[Section]:
    """A line per training set: every metric under its best protocol, and the interval of its skill over time."""
    found = by_measure(run.scores, run.student.name)
    if not found:
        return [Sentence(shared.NO_SCORES, "caption")]
    intervals = run.analyses.get("intervals", {}).get(run.student.name, {})
    cells: dict[str, dict[str, str]] = {}
    for metric, rows in ((metric, found.get(metric, {})) for metric in MEASURES):
        is_skill = metric == "skill_last_value" and run.target in ("close", "both")  # the same number as skill
        if rows and not is_skill:
            cells[MEASURES[metric]] = {arm: _shown(row, metric) for arm, row in rows.items()}
        if metric == SKILL:
            ends = {arm: of[SKILL] for arm, of in intervals.items() if SKILL in of and arm in rows}
            cells["95 % interval (%)"] = {arm: _interval(each) for arm, each in ends.items()}
    cells["n"] = {arm: str(row.n) for rows in found.values() for arm, row in rows.items()}
    note = (
        "Mean ± standard deviation over n students, on the test windows of all tokens. The interval comes from a "
        f"bootstrap over blocks of dates and over students. {about_skill(run)}"
    )
    columns, alt = arm_table("Trained on", cells), "Metrics of each training set and of the naive forecasts"
    return [noted("Forecast errors", columns, alt, note)]


def _tokens(run: Run) -> list[Section]:
    """One metric of each training set, a column per token."""
    found = by_measure(run.scores, run.student.name)
    tokens = list(dict.fromkeys(metric.partition("@")[2] for metric in found if "@" in metric))
    metrics = [metric for metric in MEASURES if any(f"{metric}@{token}" in found for token in tokens)]
    if not metrics:
        return []

    def table(metric: str) -> Sequence[Section]:
        of = {token: found.get(f"{metric}@{token}", {}) for token in tokens}
        cells = {token: {arm: _shown(row, metric) for arm, row in rows.items()} for token, rows in of.items()}
        alt = f"{MEASURES[metric]} of each training set, a column per token"
        return [Table(arm_table("Trained on", cells), alt)]

    options = {MEASURES[metric]: partial(table, metric) for metric in metrics}
    return [Group("By token", [Choice("Metric", options, "token metric", is_list=True)])]


def _shown(row: Row, metric: str) -> str:
    """A measure with its deviation over students, in enough digits to tell forecasts apart."""
    if math.isnan(row.mean):
        return formats.NOTHING
    scale = 100 if MEASURES[metric].endswith("(%)") else 1
    digits = 3 if scale == 1 or metric in ("mae", "rmse") else 2
    spread = "" if row.n < 2 or math.isnan(row.std) else f"\u00a0±\u00a0{scale * row.std:.{digits}f}"
    return f"{round(scale * row.mean, digits) + 0.0:.{digits}f}{spread}".replace("-", "−")


def _interval(ends: Sequence[float]) -> str:
    return shared.span(*ends).removesuffix(" %").replace(" ", "\u00a0")


def _forecasts(run: Run) -> list[Section]:
    """Forecasts and truth by date, for one token at a time, as returns or as prices."""
    found = run.analyses.get("forecasts")
    if not found or not found.get("tokens"):
        return []
    target = found["target"]
    ahead = formats.counted(found.get("horizon", 1), "bar")
    note = f"The latest test windows by the date of their last bar, forecasts {ahead} ahead, mean over students."
    views = {
        "Returns": "Good forecasts vary less than the truth, as most of it cannot be predicted.",
        "Prices": "As prices, every forecast looks close to the truth, even the last value. Judge it by the returns.",
    }

    def drawn(token: Mapping[str, Any], view: str) -> Sequence[Section]:
        name, draw = token["token"], partial(figures.forecast, token, target, as_prices=view == "Prices")
        chart = Chart(draw, f"forecast {name} {view}", f"Truth and forecasts for {name} in the test part, by date")
        return [chart, Sentence(f"{note} Click a name to show or hide its line. {views[view]}", "caption")]

    def chosen(token: Mapping[str, Any]) -> Sequence[Section]:
        if target not in ("close", "both"):
            return drawn(token, "Returns")
        options = {view: partial(drawn, token, view) for view in views}
        return [Choice("Shown as", options, "forecast view", is_another_view=True)]

    tokens = {each["token"]: partial(chosen, each) for each in found["tokens"]}
    return [Group("Forecast and truth", [Choice("Token", tokens, "forecast token", is_list=True)], "box")]


# ---- what the set keeps and reveals ----


def _privacy(values: Mapping[str, Any]) -> Group:
    attack = values["membership"]
    chance = f" {attack['chance']:.2f} comes from the dates alone." if "chance" in attack else ""
    about_distance = (
        "Median distance from a distilled sequence to its nearest real training window, relative to the distance "
        "between real windows that share no bar."
    )
    about_attack = f"How well the distance to the distilled set separates training windows from later ones.{chance}"
    interval = f"95 %: {attack['low']:.2f} to {attack['high']:.2f}; 0.5 reveals nothing"
    metrics = [
        Metric("Distance to the nearest", formats.times(values["ratio"]), "relative to real windows", about_distance),
        Metric("Membership inference, AUC", f"{attack['auc']:.2f}", interval, about_attack),
    ]
    alt = "Distances of distilled sequences to their nearest real training window, over those between real windows"
    chart = Chart(partial(figures.nearest_distances, values), "distances", alt)
    return Group("Does it reveal real prices?", [Sentence(values["sentence"]), Metrics(metrics), chart], "box")


def _facts(values: Mapping[str, Any]) -> Group:
    acf, course = "Autocorrelation of {} by lag, distilled and real", partial(figures.autocorrelation, values)
    charts = [
        boxed("Fat tails", partial(figures.tails, values), "tails", "Tails of distilled, real and normal returns"),
        boxed("Returns are barely autocorrelated", partial(course, "acf_returns"), "returns", acf.format("returns")),
        boxed("Volatility clusters", partial(course, "acf_squared"), "squares", acf.format("squared returns")),
    ]
    note = (
        "Real returns have fatter tails than a normal distribution and little autocorrelation, while their size is "
        "autocorrelated. Distilled sequences are made for training and need not look real. Whiskers: 95 % range of "
        "equally many random real windows."
    )
    return Group("Does it look like real prices?", [Group("", charts, "grid"), Sentence(note, "caption")], "box")


def _adaptation(values: Mapping[str, Any]) -> Group:
    token = values["token"]
    return boxed(
        f"Does it help on {token}?",
        partial(figures.adaptation, values),
        f"adaptation {token}",
        f"Test error on {token} by fine-tuning steps, pre-trained on the distilled set and from scratch",
        "This token is not in the distilled set. Networks pre-trained on that set, and others from scratch, are "
        "fine-tuned on a few of its windows. Shaded: one standard deviation over students.",
    )
