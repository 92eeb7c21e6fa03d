"""The augmentations as text, for the program that goes with a distilled set."""

from __future__ import annotations

from collections.abc import Sequence

from engine.data.transforms.augment import CUTOUT_SHARE, DSA_CROP_SHARE, MAX_DEGREES, MAX_SCALE

MIRRORED = "torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch.flip(3), batch)"
LINES = {
    "flip": f"batch = {MIRRORED}  # mirrored or not",
    "flip_crop": f"batch = {MIRRORED}  # mirrored or not",
    "flip_rotate": "batch = changed(batch)",
    "dsa": "batch = changed(batch)",
}
"""What is done to a batch in a step, for the augmentations that are repeated; of crops only DSA's are."""
FLIP_ROTATE = f'''

def changed(batch):
    """All images mirrored or not, or all turned by up to {MAX_DEGREES:g} degrees."""
    if torch.rand(()) < 0.5:
        return {MIRRORED}
    angles = math.radians({MAX_DEGREES:g}) * (2 * torch.rand(len(batch)) - 1)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros(len(batch))
    turns = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = nn.functional.affine_grid(turns, list(batch.shape), align_corners=False)
    return nn.functional.grid_sample(batch, grid, align_corners=False)
'''
WARPED = '''

def warped(batch, rows):
    """Sampled at points that are moved by a matrix an image."""
    grid = nn.functional.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(batch.shape), align_corners=False)
    return nn.functional.grid_sample(batch, grid, align_corners=False)
'''
DSA = {
    "color": '''

def color(batch, u):
    """Brightness, saturation, contrast."""
    batch = batch + (u[0] - 0.5)
    grey = batch.mean(1, keepdim=True)
    batch = (batch - grey) * (2 * u[1]) + grey
    mean = batch.mean((1, 2, 3), keepdim=True)
    return (batch - mean) * (u[2] + 0.5) + mean
''',
    "crop": f'''

def crop(batch, u):
    """Moved by whole pixels, zeros where nothing was."""
    height, width = batch.shape[2:]
    reach = int(min(height, width) * {DSA_CROP_SHARE:g} + 0.5)
    wide = nn.functional.pad(batch, (reach,) * 4)
    places = (u[:2].flatten(1) * (2 * reach + 1)).long().T.tolist()
    return torch.stack([image[:, y : y + height, x : x + width] for image, (y, x) in zip(wide, places)])
''',
    "cutout": f'''

def cutout(batch, u):
    """A box zeroed, its centre anywhere."""
    inside = []
    for side, place in zip(batch.shape[2:], u):
        length = int(side * {CUTOUT_SHARE:g} + 0.5)
        first = (place.view(-1, 1) * (side + 1 - length % 2)).long() - length // 2
        inside.append((torch.arange(side) >= first) & (torch.arange(side) < first + length))
    return batch.masked_fill(inside[0][:, None, :, None] & inside[1][:, None, None, :], 0)
''',
    "flip": '''

def flip(batch, u):
    """Mirrored or not."""
    return torch.where(u[0] < 0.5, batch.flip(3), batch)
''',
    "scale": f'''

def scale(batch, u):
    """Each axis stretched or shrunk, zeros where nothing was."""
    across, down = u[:2].flatten(1) * ({MAX_SCALE:g} - 1 / {MAX_SCALE:g}) + 1 / {MAX_SCALE:g}
    zero = torch.zeros(len(batch))
    return warped(batch, [across, zero, zero, zero, down, zero])
''',
    "rotate": f'''

def rotate(batch, u):
    """Turned by up to {MAX_DEGREES:g} degrees, zeros where nothing was."""
    angles = math.radians({MAX_DEGREES:g}) * (2 * u[0].flatten() - 1)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros(len(batch))
    return warped(batch, [cos, -sin, zero, sin, cos, zero])
''',
}
"""Each operation, of images (N, C, H, W) and three numbers in [0, 1) for each of them: (3, N, 1, 1, 1)."""


def definitions(augmentation: str, dsa_operations: Sequence[str]) -> str:
    """The functions that the line of an augmentation calls; empty where it calls none."""
    if augmentation == "flip_rotate":
        return FLIP_ROTATE
    if augmentation != "dsa":
        return ""
    warped = WARPED if {"scale", "rotate"} & set(dsa_operations) else ""
    return (
        warped
        + "".join(DSA[name] for name in dsa_operations)
        + f'''

def changed(batch):
    """One operation of DSA for the whole batch, by numbers of each image's own."""
    operations = [{", ".join(dsa_operations)}]
    return operations[torch.randint(len(operations), ())](batch, torch.rand(3, len(batch), 1, 1, 1))
'''
    )
