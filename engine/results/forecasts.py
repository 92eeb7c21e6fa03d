"""Price sequences with targets: networks trained on them are compared by the skill of their forecasts."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from engine import figures
from engine.core.config import DataConfig, EvaluationConfig, RunRequest, Size
from engine.data.source import Source, TaskSpec
from engine.evaluation.forecasting.naive import reference_in_words
from engine.evaluation.scores import SKILL, Row, by_measure
from engine.figures import formats
from engine.results import shared
from engine.results.kind import Kind
from engine.results.run import Run
from engine.results.sections import Chart, Choice, Group, Metric, Metrics, Section, Sentence, Table
from engine.results.shared import boxed, noted, shown_arms

TARGETS = {
    "close": "next close",
    "both": "next close and direction",
    "volatility": "volatility",
    "direction": "direction",
}
"""What each target is called."""


class Forecasts(Kind):
    """Price sequences with targets."""

    key, takes, sample, real, measure = "forecasts", "prices", "sequence", "window", "skill"
    labels, has_loss = ("Distilled, test skill", "Skill, validation"), False
    counted = "All sets count 4 bytes per value. In the full data set, a bar counts once for each window that holds it."
    stored, findings_title, value_bytes = "bars and targets", "Privacy and fidelity", 4
    phrases = {
        "distilled": ("after training on {}", "distilled sequence"),
        "random_real": ("on {}", "random real window"),
        "kmeans_real": ("on {} chosen by k-means", "real window"),
        "full": ("on all {}", "real window"),
    }

    def planned_train(self, source: Source, data: DataConfig) -> int:
        windows = data.windows
        return max(1, round(source.num_train * (1 - windows.validation_fraction) / windows.stride))

    def comparison(self, evaluation: EvaluationConfig) -> str:
        full = ", with training on all windows" if evaluation.compare_full else ""
        baselines = "baselines that need no training: the last value and the training mean"
        return f"compare it with as many random and k-means real windows{full}, and with {baselines}"

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

    def verdict(self, run: Run) -> list[Section]:
        """Whether anything beats a naive forecast, and the test skill of each training set."""
        found = run.analyses.get("verdict")
        said = [Sentence(found["sentence"], "note")] if found else []
        return [*said, *shared.outcome(f"Test skill relative to {reference_in_words(run.target)}", run, self.phrases)]

    def measures(self, run: Run) -> list[Section]:
        """Every metric of each training set, token by token too, the table of protocols, and forecasts by date."""
        protocols = [Group("Every protocol", self.score_table(run.own), "fold")] if run.own else []
        return [*_metrics(run), *_tokens(run), *protocols, *_forecasts(run)]

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
        for (arm, metric), row in by_measure(run.scores, run.student.name).items():
            found.setdefault(arm, {})[metric] = shared.as_json(row)
        return {"ranking": {}, "forecasts": found}


# ---- scores ----


def about_skill(run: Run) -> str:
    """What skill is, in a sentence."""
    error = "log loss" if run.target == "direction" else "squared error"
    reference = reference_in_words(run.target)
    return (
        f"Skill: the share by which a forecast reduces the {error} of {reference}. 100 % is a perfect forecast, 0 % is "
        "no better, negative is worse."
    )


def _metrics(run: Run) -> list[Section]:
    """A line per training set: every metric under its best protocol, and the interval of its skill over time."""
    found = by_measure(run.scores, run.student.name)
    arms = shown_arms(arm for arm, _ in found)
    if not arms:
        return [Sentence(shared.NO_SCORES, "caption")]
    intervals = run.analyses.get("intervals", {}).get(run.student.name, {})
    columns: dict[str, list[str]] = {"Trained on": [_named(arm) for arm in arms]}
    for metric in figures.MEASURES:
        of_arm = [found.get((arm, metric)) for arm in arms]
        is_skill = metric == "skill_last_value" and run.target in ("close", "both")  # the same number as skill
        if any(of_arm) and not is_skill:
            columns[_titled(metric)] = [_shown(row, metric) for row in of_arm]
        if metric == SKILL:
            ends = [intervals.get(arm, {}).get(SKILL) if (arm, SKILL) in found else None for arm in arms]
            columns["95 % interval (%)"] = [_interval(each) for each in ends]
    columns["n"] = [str(max(row.n for (known, _), row in found.items() if known == arm)) for arm in arms]
    note = (
        "Mean ± standard deviation over n students, on the test windows of all tokens. The interval of the skill comes "
        f"from a bootstrap over blocks of dates and over students. {about_skill(run)}"
    )
    return [noted("Forecast errors", columns, "Metrics of each training set and of the naive forecasts", note)]


def _tokens(run: Run) -> list[Section]:
    """One metric of each training set, a column per token."""
    found = {
        (arm, *metric.split("@", 1)): row
        for (arm, metric), row in by_measure(run.scores, run.student.name).items()
        if "@" in metric
    }
    metrics = [metric for metric in figures.MEASURES if any(metric == known for _, known, _ in found)]
    tokens = list(dict.fromkeys(token for _, _, token in found))
    if not metrics or not tokens:
        return []

    def table(metric: str) -> Sequence[Section]:
        arms = [arm for arm in figures.ARM_NAMES if any((arm, metric, token) in found for token in tokens)]
        columns = {"Trained on": [_named(arm) for arm in arms]}
        for token in tokens:
            columns[token] = [_shown(found.get((arm, metric, token)), metric) for arm in arms]
        return [Table(columns, f"{figures.MEASURES[metric]} of each training set, a column per token")]

    options = {_titled(metric): partial(table, metric) for metric in metrics}
    return [Group("By token", [Choice("Metric", options, "token metric", is_list=True)])]


def _shown(row: Row | None, metric: str) -> str:
    """A metric on one line, shares in per cent without the sign."""
    return figures.measured(row, metric, unit="").replace(" ", "\u00a0")


def _titled(metric: str) -> str:
    return figures.MEASURES[metric] if metric in figures.PLAIN_MEASURES else f"{figures.MEASURES[metric]} (%)"


def _named(arm: str) -> str:
    return f"{figures.arm_name(arm)}, no network" if arm in figures.NAIVE_ARMS else figures.arm_name(arm)


def _interval(ends: Sequence[float] | None) -> str:
    if ends is None:
        return formats.NOTHING
    return shared.span(*ends).removesuffix(" %").replace(" ", "\u00a0")


def _forecasts(run: Run) -> list[Section]:
    """Forecasts and truth by date, for one token at a time, as returns or as prices."""
    found = run.analyses.get("forecasts")
    if not found or not found.get("tokens"):
        return []
    target = found["target"]
    ahead = formats.counted(found.get("horizon", 1), "bar")
    note = (
        f"The latest test windows by the date of their last bar, forecasts {ahead} ahead, mean over students. Click a "
        "name to show or hide its line. "
    )
    views = {
        "Returns": "Good forecasts vary less than the truth: what cannot be predicted is best left out.",
        "Prices": "As prices, every forecast looks close to the truth, even the last value. Judge it by the returns.",
    }

    def drawn(token: Mapping[str, Any], view: str) -> Sequence[Section]:
        as_prices = view == "Prices"
        alt = f"Truth and forecasts for {token['token']} in the test part, by date"
        draw = partial(figures.forecast, token, target, as_prices=as_prices)
        return [Chart(draw, f"forecast {token['token']} {view}", alt), Sentence(note + views[view], "caption")]

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
    about_attack = (
        "How well the distance to the distilled set separates training windows from later ones; 0.5 reveals nothing."
    )
    interval = f"95 %: {attack['low']:.2f} to {attack['high']:.2f}; 0.5 reveals nothing"
    ratio = formats.times(values["ratio"])
    metrics = [
        Metric("Distance to the nearest", ratio, "relative to real windows", about_distance),
        Metric("Membership inference, AUC", f"{attack['auc']:.2f}", interval, about_attack + chance),
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
        "Stylised facts of markets: returns have fatter tails than a normal distribution and little autocorrelation, "
        "while their size is autocorrelated. A distilled sequence is made for training and need not look real. "
        "Whiskers: 95 % range of equally many random real windows."
    )
    return Group("Does it look like real prices?", [Group("", charts, "grid"), Sentence(note, "caption")], "box")


def _adaptation(values: Mapping[str, Any]) -> Group:
    token = values["token"]
    return boxed(
        f"Does it help on {token}?",
        partial(figures.adaptation, values),
        f"adaptation {token}",
        f"Test error on {token} by fine-tuning steps, pre-trained on the distilled set and from scratch",
        "This token is not part of the distilled set. Networks pre-trained on that set, and others from scratch, "
        "are fine-tuned on a few of its windows. Shaded: one standard deviation over students.",
    )
