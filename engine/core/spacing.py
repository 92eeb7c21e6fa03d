"""Where pieces lie along a length: pure arithmetic, shared by posters and their pictures."""


def offsets(length: int, size: int, number: int) -> list[int]:
    """Where `number` pieces of `size` start, evenly spaced over `length`: round(i · (length − size) / (number − 1))."""
    return [round(i * (length - size) / max(number - 1, 1)) for i in range(number)]


def edges(length: int, number: int) -> list[int]:
    """The number + 1 borders of cells that partition `length` pixels: round(i · length / number)."""
    return [round(i * length / number) for i in range(number + 1)]
