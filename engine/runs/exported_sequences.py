"""The exported files of distilled price sequences: tables, arrays and a forecasting program."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from engine.data.prices.bars import COLUMNS, Bars, to_csv
from engine.data.prices.scaling import FIELDS, WindowScaling
from engine.figures import spread
from engine.results.kinds import kind_of
from engine.results.run import Run, student_of
from engine.runs import programs, tables
from engine.runs.exported import Arrays, Exported, Files
from engine.synthetic.candles import OUTPUTS, CandleSet

FIRST_BAR = 946_684_800
"""1 January 2000, 0:00 UTC: the made-up date of each first bar."""
DAY = 86_400


class ExportedSequences(Exported[CandleSet, WindowScaling]):
    """Sequences of price bars with their targets."""

    SAMPLE = ("sequence of price bars", "sequences of price bars")
    NOTE = """
The sequences are no real prices: they were learned so that networks trained on them forecast well. Their dates are made
up, one bar per day from 2000-01-01. If networks see returns, the close before the first bar is 100.
"""

    def contents(self) -> dict[str, str]:
        return {
            "train.py": "trains a network on the sequences with plain PyTorch and forecasts a price file: "
            "python train.py TOKEN PRICES.csv",
            "candles.csv": "all bars in one table: token, sequence, bar, date, open, high, low, close, volume",
            "targets.csv": "the targets of each sequence: scaled as for training, and as log returns",
            "sequences/": "each sequence as a price file: date, open, high, low, close, volume",
            "distilled.npz": "NumPy arrays: bars, inputs (as a network sees them), targets, tokens, rates, scaling",
            "images/, grid.png": "small pictures of the sequences",
        }

    def readme(self) -> str:
        """With a warning if sequences are close to real windows."""
        warning = kind_of(self.row.method).warning(Run(self.row, self.store))
        return super().readme() + (f"\n{warning}\n" if warning else "")

    def arrays(self, targets: Tensor) -> Arrays:
        """bars (M, T, 5). inputs (M, T, F) and targets (M, D) as students see: inputs = (features - feature_shift) /
        feature_scale of the token, and so are targets that are values. tokens (M,): places in token_names.
        """
        synthetic, scaling = self.synthetic, self.preparation
        texts = {"token_names": synthetic.spec.class_names, "outputs": OUTPUTS[synthetic.spec.task]}
        found = {name: np.array(words, np.str_) for name, words in texts.items()}
        found |= {"bars": synthetic.bars(), "tokens": synthetic.tokens.numpy(), "targets": targets.float().numpy()}
        found |= {"learned_rates": synthetic.rates.detach().float().numpy(), "features": np.array(scaling.kind)}
        return found | {name: getattr(scaling, name).numpy() for name in FIELDS}

    def program(self) -> str:
        synthetic, training, row = self.synthetic, self.synthetic.own_training, self.measured().get("as_distilled")
        if row is not None and "num_steps" in row.training:
            training = replace(training, num_steps=row.training["num_steps"])
        student, windows = student_of(self.row), self.row.request.data.windows
        recorded = "" if row is None else spread(row)
        count = synthetic.num_samples
        return programs.forecast_script(student, synthetic.spec, count, training, windows, recorded=recorded)

    def pictures(self) -> Files:
        return {"candles.csv": self._candles, "targets.csv": self._targets}

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """One price file per sequence, numbered within each token: "sequences/BTC_0.csv"."""
        count: Counter[str] = Counter()
        for token, bars in self._named_bars():
            plain = re.sub(r"[^A-Za-z0-9]+", "-", token).strip("-")[:40].strip("-") or "token"
            number = count[plain.casefold()]
            count[plain.casefold()] += 1
            yield f"sequences/{plain}_{number}.csv", to_csv(_history(token, bars)).encode()

    def _candles(self) -> bytes:
        lines = []
        for sequence, (token, bars) in enumerate(self._named_bars()):
            dates = _history(token, bars).times.astype("datetime64[s]").astype("datetime64[D]")
            for bar, (date, values) in enumerate(zip(dates, bars, strict=True)):
                lines.append((token, sequence, bar, str(date), *map(float, values)))
        return tables.to_csv(("token", "sequence", "bar", "date", *COLUMNS), lines)

    def _targets(self) -> bytes:
        targets, names = self.synthetic.materialise()[1], self.synthetic.sample_names()
        outputs = OUTPUTS[self.synthetic.spec.task]
        head = ["token", "sequence", *outputs]
        rows = enumerate(zip(names, targets.tolist(), strict=True))
        lines = [(token, number, *values) for number, (token, values) in rows]
        if outputs[0] in ("close", "volatility"):
            returns = self.preparation.values(targets[:, 0], self.synthetic.tokens).tolist()
            head.append("log_return" if outputs[0] == "close" else "absolute_log_return")
            lines = [(*line, value) for line, value in zip(lines, returns, strict=True)]
        return tables.to_csv(head, lines)

    def _named_bars(self) -> Iterator[tuple[str, np.ndarray]]:
        """(token, bars (T, 5)) of each sequence."""
        return zip(self.synthetic.sample_names(), self.synthetic.bars(), strict=True)


def _history(token: str, bars: np.ndarray) -> Bars:
    """Bars (T, 5) with made-up dates."""
    return Bars(token, FIRST_BAR + DAY * np.arange(len(bars)), bars[:, :4], bars[:, 4])
