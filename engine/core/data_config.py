"""How data are prepared: the options of images, and of windows of prices."""

from functools import partial
from typing import Literal, get_args

from pydantic import field_validator

from engine.core.options import Config, option

DsaOperation = Literal["color", "crop", "cutout", "flip", "scale", "rotate"]
DSA_OPERATIONS: tuple[DsaOperation, ...] = get_args(DsaOperation)
_windows = partial(option, of="prices")
_images = partial(option, of="images")


class WindowConfig(Config):
    """How price histories are cut into windows with targets; everything is fitted on the training part."""

    target: Literal["close", "direction", "both", "volatility"] = _windows(
        "close", names={"close": "Next close", "both": "Close and direction"}
    )
    """What to forecast: the next close, its direction (up or down), both, or the absolute return."""
    window_length: int = _windows(30, low=4, high=512, unit="bars", label="Window")
    """Input length of the forecast."""
    horizon: int = _windows(1, "How far ahead to forecast", low=1, high=64, unit="bars")
    stride: int = _windows(1, low=1, high=512, unit="bars")
    """Distance between the starts of consecutive windows."""
    threshold: float = _windows(0.0, low=-0.5, high=0.5, advanced=True, when=("target", ("direction", "both")))
    """Return above which the direction counts as up."""
    features: Literal["returns", "prices"] = _windows(
        "returns", names={"returns": "Log returns", "prices": "Scaled prices"}
    )
    """Log returns with candle body and wicks, or prices scaled to 0..1 by the range of the training part."""
    token_identity: bool = _windows(False, "Tell the student which token a window belongs to", advanced=True)
    validation_fraction: float = _windows(0.15, low=0.02, high=0.5, advanced=True)
    """Share of the time before the test part that is used for validation."""
    test_fraction: float = _windows(0.2, low=0.02, high=0.5)
    """Share of the time, at its end, that is used for testing."""

    @property
    def embargo(self) -> int:
        """Bars left out after each split, so that no window or target reaches from one part into the next."""
        return self.window_length + self.horizon


class DataConfig(Config):
    """How the data are prepared before training. Everything that is fitted is fitted on the training part.

    windows: for price histories; all other options are for images.
    """

    normalisation: Literal["standard", "unit"] = _images(
        "standard", names={"unit": "Scale to 0..1"}, when=("zca", False)
    )
    """Subtract the training mean of each channel and divide by its standard deviation, or scale pixels to 0..1."""
    zca: bool = _images(False, label="ZCA whitening")
    """Whiten the pixels (ZCA); helps colour images at few images per class."""
    zca_kind: Literal["standard", "podd"] = _images(
        "standard", names={"podd": "PoDD"}, advanced=True, label="ZCA variant", when=("zca", True)
    )
    """Standard ZCA, or PoDD's, which first normalises the contrast of each image."""
    zca_eps: float = _images(0.1, low=1e-6, high=10.0, advanced=True, label="ZCA epsilon", when=("zca", True))
    """Added to the eigenvalues of the covariance; PoDD's variant multiplies it by their mean."""
    augmentation: Literal["none", "flip", "crop", "flip_crop", "flip_rotate", "dsa"] = _images(
        "none", names={"flip_crop": "Flip and crop", "flip_rotate": "Flip or rotate"}
    )
    """Random changes to training images; do not flip digits."""
    dsa_operations: tuple[DsaOperation, ...] = _images(
        DSA_OPERATIONS, names={"color": "Colour"}, advanced=True, label="DSA operations", when=("augmentation", "dsa")
    )
    """DSA draws one of these operations for each batch."""
    validation_fraction: float = _images(0.1, low=0.0, high=0.5, advanced=True)
    """Share of the training set used for validation: learning rates and checkpoints are chosen on it, never on the test
    set. 0 to train on all of it: then the set of the last step is the result, and nothing is chosen."""
    train_limit: int = _images(0, low=0, high=10_000_000, advanced=True, unit="images")
    """Use only this many training images, balanced over the classes; 0 for all."""
    windows: WindowConfig = WindowConfig()

    @field_validator("dsa_operations")
    @classmethod
    def _in_fixed_order(cls, chosen: tuple[DsaOperation, ...]) -> tuple[DsaOperation, ...]:
        """Sorted, without repeats, so that the same choice is always the same value."""
        if not chosen:
            raise ValueError("choose at least one DSA operation, or another augmentation")
        return tuple(name for name in DSA_OPERATIONS if name in chosen)
