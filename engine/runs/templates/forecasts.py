"""Train TITLE on the SAMPLES in distilled.npz, and forecast your own prices:

    python train.py TOKEN PRICES.csv SCORE

It forecasts WHAT, AHEAD ahead.

PRICES.csv has the columns open, high, low, close and, if known, volume, named in its first line, oldest bar first.
TOKEN is one of the tokens that the set was made from; it says how prices are scaled. The result covers all bars of the
file: leave out the bars that the set was made from to test it. Needs torch and numpy.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# [if template]
LEAST_BARS, LENGTH, LAST, FIRST, HORIZON, NUM_STEPS, BATCH_SIZE, THRESHOLD = 11, 9, 8, 9, 1, 100, 10, 0.0
net = nn.Sequential()
OPTIMISER, LOSS = torch.optim.Adam(net.parameters()), torch.zeros(())
# [end]
data = np.load(Path(__file__).with_name("distilled.npz"))
inputs, targets = torch.from_numpy(data["inputs"]), torch.from_numpy(data["targets"])
names, columns = data["token_names"].tolist(), ("open", "high", "low", "close")
if len(sys.argv) != 3 or sys.argv[1] not in names:
    sys.exit(f"Name a token and a file: python train.py TOKEN PRICES.csv. The tokens are: {', '.join(names)}.")
if not Path(sys.argv[2]).is_file():
    sys.exit(f"There is no file {sys.argv[2]}.")
token, place = names.index(sys.argv[1]), sys.argv[2]
# [insert network]
optimiser = OPTIMISER
optimiser.param_groups[0]["lr"] = float(data["learned_rates"][0])
for _ in range(NUM_STEPS):
    chosen = torch.randperm(len(inputs))[:BATCH_SIZE]
    outputs, wanted = net(inputs[chosen]), targets[chosen]
    loss = LOSS
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

with open(place, newline="", encoding="utf-8-sig") as file:
    rows = [{str(name).strip().lower(): cell for name, cell in row.items()} for row in csv.DictReader(file)]
if len(rows) < LEAST_BARS or not set(columns) <= rows[0].keys():
    sys.exit(f"{place} needs the columns {', '.join(columns)} in its first line, and LEAST_BARS bars or more.")
try:
    bars = np.array([[float(row[name]) for name in columns] for row in rows])
    bars = np.column_stack([bars, [float(row.get("volume", 1) or 0) for row in rows]])
except (TypeError, ValueError) as error:
    sys.exit(f"{place} holds a bar that is not a number: {error}.")
# [if returns]
open_, high, low, close = np.log(bars[:, :4].T)
gap, body = open_[1:] - close[:-1], close[1:] - open_[1:]
above, below = high[1:] - np.maximum(open_, close)[1:], np.minimum(open_, close)[1:] - low[1:]
seen, close = np.stack([gap, body, above, below, np.log1p(bars[1:, 4])], axis=1), close[1:]
# [end]
# [if prices]
seen, close = bars, np.log(bars[:, 3])
# [end]
moves = close[FIRST:] - close[LAST:-HORIZON]
seen = (seen - data["feature_shift"][token]) / data["feature_scale"][token]
windows = np.lib.stride_tricks.sliding_window_view(seen, LENGTH, axis=0)[: len(moves)].transpose(0, 2, 1)
# [if token_identity]
own = np.broadcast_to(np.eye(len(names))[token], (len(windows), windows.shape[1], len(names)))
windows = np.concatenate([windows, own], axis=2)
# [end]
with torch.no_grad():
    outputs = net(torch.from_numpy(windows.astype(np.float32)))
# [if template]
TRUTH, NAIVE = np.abs(moves), 0
# [end]
# [if has_value]
forecast = outputs[:, 0].double().numpy() * data["target_scale"][token] + data["target_shift"][token]
rmse, usual = (100 * np.sqrt(np.mean((each - TRUTH) ** 2)) for each in (forecast, NAIVE))
print(f"RMSE {rmse:.3f} % on {len(forecast)} windows; {usual:.3f} % for NAIVE_NAME")
# [end]
# [if has_direction]
is_up, says_up = np.expm1(moves) > THRESHOLD, outputs[:, -1].numpy() > outputs[:, -2].numpy()
print(f"direction: {100 * np.mean(is_up == says_up):.1f} % right; {100 * np.mean(is_up):.1f} % were up")
# [end]
