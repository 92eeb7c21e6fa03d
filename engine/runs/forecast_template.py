"""The program that goes with distilled sequences: it trains a network on them with torch alone, and forecasts bars of a CSV file."""

from __future__ import annotations

from string import Template

from engine.core.config import StudentConfig, WindowConfig
from engine.data.source import NUM_FEATURES, TaskSpec
from engine.figures import formats
from engine.nets import STUDENTS, source_code
from engine.runs.train_template import RULES
from engine.synthetic.base import Training

SEEN = {
    "returns": """\
open_, high, low, close = np.log(bars[:, :4].T)
seen = np.stack([open_[1:] - close[:-1], close[1:] - open_[1:], high[1:] - np.maximum(open_, close)[1:],
                 np.minimum(open_, close)[1:] - low[1:], np.log1p(bars[1:, 4])], axis=1)
close = close[1:]
""",
    "prices": "seen, close = bars, np.log(bars[:, 3])\n",
}
"""What a network sees of bars, before it is scaled, and the logarithm of their closes."""
LOSSES = {
    "close": "nn.functional.mse_loss(outputs, told)",
    "direction": "nn.functional.cross_entropy(outputs, told)",
    "both": """\
nn.functional.mse_loss(outputs[:, 0], told[:, 0])
    loss = loss + nn.functional.cross_entropy(outputs[:, 1:], told[:, 1:])""",
}
LOSSES["volatility"] = LOSSES["close"]
SAYS_TOKEN = """\
own = np.broadcast_to(np.eye(len(names))[token], (len(windows), windows.shape[1], len(names)))
windows = np.concatenate([windows, own], axis=2)
"""
VALUES = Template("""\
said = outputs[:, 0].double().numpy() * data["target_scale"][token] + data["target_shift"][token]
true, naive = $truth, $naive
error, usual = (100 * np.sqrt(np.mean((each - true) ** 2)) for each in (said, naive))
print(f"RMSE {error:.3f} % on {len(said)} windows; {usual:.3f} % for $naive_name")
""")
NAIVE = {"close": ("0", "the last close"), "volatility": ('data["target_shift"][token]', "the mean of training")}
NAIVE["both"] = NAIVE["close"]
DIRECTIONS = Template("""\
is_up, says_up = np.expm1(moves) > $threshold, outputs[:, -1].numpy() > outputs[:, -2].numpy()
print(f"direction: {100 * np.mean(is_up == says_up):.1f} % right; {100 * np.mean(is_up):.1f} % were up")
""")

SCRIPT = Template('''\
"""Train $title on the $samples in distilled.npz, and forecast bars of your own:

    python train.py TOKEN PRICES.csv$score

It forecasts $what, $horizon_words ahead.

PRICES.csv has the columns open, high, low and close, and volume where it is known, their names in the first line,
the oldest bar first. TOKEN, one of those that the set was made of, says how they are scaled. What is printed is of
all bars of the file: leave out those that the set was made of to test it. Needs torch and numpy.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

data = np.load(Path(__file__).with_name("distilled.npz"))
inputs, targets = torch.from_numpy(data["inputs"]), torch.from_numpy(data["targets"])
names, columns = data["token_names"].tolist(), ("open", "high", "low", "close")
if len(sys.argv) != 3 or sys.argv[1] not in names:
    sys.exit(f"Say a token and a file: python train.py TOKEN PRICES.csv. The tokens are: {', '.join(names)}.")
if not Path(sys.argv[2]).is_file():
    sys.exit(f"There is no file {sys.argv[2]}.")
token, place = names.index(sys.argv[1]), sys.argv[2]
$network
optimiser = $rule
optimiser.param_groups[0]["lr"] = float(data["learned_rates"][0])
for _ in range($num_steps):
    chosen = torch.randperm(len(inputs))[:$batch_size]
    outputs, told = net(inputs[chosen]), targets[chosen]
    loss = $loss
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

with open(place, newline="", encoding="utf-8-sig") as file:
    rows = [{str(name).strip().lower(): cell for name, cell in row.items()} for row in csv.DictReader(file)]
if len(rows) < $least or not set(columns) <= rows[0].keys():
    sys.exit(f"{place} needs the columns {', '.join(columns)} in its first line, and $least bars or more.")
try:
    bars = np.array([[float(row[name]) for name in columns] for row in rows])
    bars = np.column_stack([bars, [float(row.get("volume", 1) or 0) for row in rows]])
except (TypeError, ValueError) as error:
    sys.exit(f"{place} holds a bar that is no number: {error}.")
${seen}moves = close[$first:] - close[$last:-$horizon]
seen = (seen - data["feature_shift"][token]) / data["feature_scale"][token]
windows = np.lib.stride_tricks.sliding_window_view(seen, $length, axis=0)[: len(moves)].transpose(0, 2, 1)
${says_token}with torch.no_grad():
    outputs = net(torch.from_numpy(windows.astype(np.float32)))
$told''')
WHAT = {
    "close": "the log return from the last close of a window",
    "direction": "whether the close rises from the last one of a window",
    "both": "the log return from the last close of a window, and whether it is a rise",
    "volatility": "the absolute log return from the last close of a window",
}


def forecast_script(
    student: StudentConfig,
    spec: TaskSpec,
    count: int,
    training: Training,
    windows: WindowConfig,
    *,
    recorded: str = "",
) -> str:
    """The text of train.py, which reads distilled.npz beside it.

    Args:
        student: the network, written out as plain layers.
        spec: shape (T, F) of the samples, and what is forecast.
        count: distilled sequences.
        training: how the set was made to be trained on; num_steps is how long it is trained here.
        windows: how real bars became windows.
        recorded: the skill that was measured on the data set's own test windows, for the first lines.

    Raises ConfigError where the samples do not fit the network.
    """
    length, num_features = spec.sample_shape
    truth = "np.abs(moves)" if spec.task == "volatility" else "moves"
    told = ""
    if spec.task != "direction":
        naive, naive_name = NAIVE[spec.task]
        told = VALUES.substitute(truth=truth, naive=naive, naive_name=naive_name)
    if spec.task in ("direction", "both"):
        told += DIRECTIONS.substitute(threshold=f"{windows.threshold:g}")
    bars_before = 1 if windows.features == "returns" else 0
    return SCRIPT.substitute(
        title=STUDENTS[student.name].title,
        samples=f"{count:,} distilled sequences" if count > 1 else "distilled sequence",
        what=WHAT[spec.task],
        horizon_words=formats.counted(windows.horizon, "bar"),
        score=f"   (recorded: skill {recorded})" if recorded else "",
        network=source_code.drawn_network(student, spec, training.start_seed or 0).rstrip("\n"),
        rule=RULES[training.rule],
        num_steps=training.num_steps,
        batch_size=training.batch_size,
        loss=LOSSES[spec.task],
        least=length + windows.horizon + bars_before,
        seen=SEEN[windows.features],
        last=length - 1,
        first=length - 1 + windows.horizon,
        horizon=windows.horizon,
        length=length,
        says_token=SAYS_TOKEN if num_features > NUM_FEATURES else "",
        told=told,
    )
