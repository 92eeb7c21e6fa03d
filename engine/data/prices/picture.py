"""Windows of price bars as small pictures: candles of three pixels each, volume below."""

import numpy as np

HEIGHT = 64
VOLUME_HEIGHT = 12
PITCH = 4  # pixels per candle: three for the body, one between
GROUND, UP, DOWN, VOLUME = (250, 248, 245), (46, 125, 94), (176, 62, 54), (176, 180, 186)


def candle_pictures(bars: np.ndarray) -> np.ndarray:
    """Bars (N, T, 5) as pictures (N, H, W, 3) uint8: rising candles hollow, falling filled; blank if not finite."""
    num_windows, num_bars, _ = bars.shape
    pictures = np.full((num_windows, HEIGHT, PITCH * num_bars + 1, 3), GROUND, dtype=np.uint8)
    for picture, window in zip(pictures, bars, strict=True):
        if np.isfinite(window).all():
            _draw(picture, window)
    return pictures


def _draw(picture: np.ndarray, bars: np.ndarray) -> None:
    low, high = bars[:, 2].min(), bars[:, 1].max()
    room = HEIGHT - VOLUME_HEIGHT - 4
    rows = 1 + np.rint((high - bars[:, :4]) / max(high - low, 1e-12) * (room - 1)).astype(int)
    volumes = np.rint(bars[:, 4] / max(bars[:, 4].max(), 1e-12) * (VOLUME_HEIGHT - 1)).astype(int)
    for number, ((open_, top, bottom, close), volume) in enumerate(zip(rows, volumes, strict=True)):
        x = 1 + PITCH * number
        colour = UP if close <= open_ else DOWN
        begin, end = min(open_, close), max(open_, close)
        picture[top : bottom + 1, x + 1] = colour
        picture[begin : end + 1, x : x + 3] = colour
        if close < open_ and end - begin > 1:
            picture[begin + 1 : end, x + 1] = GROUND
        picture[HEIGHT - 1 - volume :, x : x + 3] = VOLUME
