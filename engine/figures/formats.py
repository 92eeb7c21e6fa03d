"""Numbers as people read them: three significant digits, units, thousands separated."""

import math

NOTHING = "–"  # shown where there is no number yet


def number(value: float | None, digits: int = 3) -> str:
    """`value` with `digits` significant digits, thousands separated: 1,240; 0.0213; 1.2e-07."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None or math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    value = float(f"{value:.{digits - 1}e}")  # rounded first: 99.99 has one digit more than it seems
    size = abs(value)
    if size < 1e-4 or size >= 1e15:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}"


def count(value: int) -> str:
    """A whole number with thousands separated: 60,000."""
    return f"{value:,}"


def counted(value: int, one: str, many: str = "") -> str:
    """A whole number and its noun: "1 image", "10 images"."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal: 0.851 -> "85.1 %"."""
    return NOTHING if fraction is None or math.isnan(fraction) else f"{_tenths(fraction)} %"


def points(difference: float) -> str:
    """A difference of two fractions in percentage points: 0.123 -> "12.3 points"."""
    return f"{100 * difference:.1f} points".replace("-", "−")


def percent_spread(mean: float, std: float, n: int) -> str:
    """Mean ± standard deviation over n students, in per cent; a single student has no spread."""
    spread = "" if n < 2 or math.isnan(std) else f" ± {100 * std:.1f}"
    return f"{_tenths(mean)}{spread} %"


def _tenths(fraction: float) -> str:
    """A fraction in per cent, one decimal; what rounds to nothing has no sign."""
    return f"{round(100 * fraction, 1) + 0.0:.1f}".replace("-", "−")


def num_bytes(value: float | None) -> str:
    """Bytes in powers of 1000: "7.70 kB", "184 MB"."""
    if value is None or math.isnan(value):
        return NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} B" if unit == "B" else f"{number(value)} {unit}"
        value /= 1000
    return f"{number(value)} TB"


def duration(seconds: float | None) -> str:
    """A length of time: "0.21 s", "42 s", "2 min 40 s", "3 h 5 min"."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.001:
        return f"{number(seconds * 1e6)} µs" if seconds > 0 else "0 s"
    if seconds < 0.1:
        return f"{number(seconds * 1e3)} ms"
    if seconds < 9.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def about(seconds: float) -> str:
    """A rough length of time in one unit: "a few seconds", "about 40 s", "about 2 min", "about 1.5 h"."""
    if seconds < 7.5:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds / 5) * 5 if seconds < 30 else round(seconds / 10) * 10} s"
    if seconds < 3600:
        minutes = round(seconds / 60)
        return f"about {max(1, minutes if minutes < 20 else round(minutes / 5) * 5)} min"
    hours = seconds / 3600
    if hours < 48:
        return f"about {number(round(2 * hours) / 2 if hours < 10 else round(hours), 2)} h"
    return f"about {round(hours / 24)} days"


def ratio(value: float | None) -> str:
    """A compression: 130.2 -> "1 : 130"."""
    return NOTHING if value is None or not math.isfinite(value) else f"1 : {number(value)}"


def times(value: float | None) -> str:
    """A factor: 12.3 -> "12.3 ×"."""
    return NOTHING if value is None or not math.isfinite(value) else f"{number(value)} ×"


def words(name: str) -> str:
    """A field's name as words: "outer_loss" -> "Outer loss"."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]
