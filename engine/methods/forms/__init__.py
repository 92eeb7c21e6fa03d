"""What a synthetic set is stored as, chosen apart from the algorithm that moves it.

A form is a few options and a record that knows the size of its set, describes it and makes it. An algorithm asks the
form for a set (`initial_set`), and the set for its parameter groups and projection, whatever the form.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from engine.core.config import MethodConfig, Size, Task
from engine.core.context import Context
from engine.core.events import Event
from engine.core.options import Config, option, unless
from engine.data.transforms.prepare import ImageSplits
from engine.methods.forms.form import Asked, Form
from engine.methods.forms.images import CanvasConfig, ImageForm, LowRankConfig, LowRankForm
from engine.methods.forms.poster import PosterConfig
from engine.methods.options import stored
from engine.synthetic.labelled import LabelledImages, LabelsKind

__all__ = ["SGD_STEPS", "AnyForm", "Asked", "Form", "FormConfig", "initial_set"]

StoredAs = Literal["pixels", "canvas", "poster", "low_rank"]
SGD_STEPS = {"poster": 10.0, "low_rank": 0.1}
"""Default step sizes of plain SGD, relative to that of pixels. Adam takes the same one for every form."""
WHOLE = ("stored_as", ("pixels", "canvas"))


class FormConfig(MethodConfig):
    """A config whose set has a form; what others ask of the config is answered by it."""

    @property
    def form(self) -> Form:
        raise NotImplementedError

    @property
    def cuts_pixels(self) -> bool:
        """Whether pixels are cut to the range of real ones after every outer step."""
        return False

    def size(self, spec: Task) -> Size:
        return self.as_stored(self.form.size_for(spec))

    def describe_size(self, spec: Task) -> str:
        return self.form.describe(spec) or super().describe_size(spec)

    def check(self, spec: Task, data_root: Path) -> None:
        self.form.check_for(spec, data_root)


class ImagesPerClass(Config):
    """The number of images, first in the form."""

    ipc: int = option(1, "Synthetic images per class", low=1, high=500, label="Images per class", when=WHOLE)


class AnyForm(FormConfig, ImagesPerClass):
    """The choice of a form, with the options of each."""

    start_options: ClassVar[tuple[str, ...]] = ("images_from", "poster.poster_from", "low_rank.bases_from")

    stored_as: StoredAs = stored("pixels", names={"low_rank": "Low-rank bases"})
    """Whole images, canvases that images are cut out of, a poster for all classes, or bases that images are sums of."""
    images_from: Literal["noise", "real", "result"] = stored("noise", label="Images start from", when=WHOLE)
    """Noise, real images, or the result of another run."""
    labels: LabelsKind = stored("hard", when=unless("stored_as", "poster"))
    """One class per image, or a learned distribution over the classes."""
    clamp: bool = stored(False, advanced=True, when=unless("stored_as", "low_rank"))
    """Cut pixels to the range of real ones."""
    canvas: CanvasConfig = stored(CanvasConfig(), "Canvases", when=("stored_as", "canvas"))
    poster: PosterConfig = stored(PosterConfig(), "Poster", when=("stored_as", "poster"))
    low_rank: LowRankConfig = stored(LowRankConfig(), "Low-rank bases", when=("stored_as", "low_rank"))

    @property
    def form(self) -> Form:
        if self.stored_as == "poster":
            return self.poster
        if self.stored_as == "low_rank":
            return LowRankForm(self.low_rank, self.labels)
        return ImageForm(self.ipc, self.labels, self.canvas if self.stored_as == "canvas" else None)

    @property
    def start_option(self) -> str:
        nested = (option for option in self.start_options if option.startswith(f"{self.stored_as}."))
        return next(nested, "images_from")

    @property
    def cuts_pixels(self) -> bool:
        return self.clamp and self.stored_as != "low_rank"

    def caution(self, spec: Task) -> str:
        form = self.form
        return form.caution(spec) if isinstance(form, LowRankForm) else ""

    def for_trial(self) -> Self:
        return self.model_copy(update={"poster": self.poster.offline()})

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_canvases(cls, values: Any) -> Any:
        """Requests from before there were forms say `canvas_size` and `canvas_samples`; size 1 meant plain images."""
        if not isinstance(values, dict) or not {"canvas_size", "canvas_samples"} & set(values):
            return values
        values = dict(values)
        size, samples = values.pop("canvas_size", 1), values.pop("canvas_samples", 1)
        canvas = {"stored_as": "canvas", "canvas": {"size": size, "samples": samples}}
        return values if size == 1 else values | canvas


def initial_set(
    config: FormConfig, splits: ImageSplits, asked: Asked, context: Context
) -> Generator[Event, None, LabelledImages]:
    """The set of a config at its start, on the context's device. Raises ConfigError where it cannot start so."""
    synthetic = yield from config.form.make(splits, asked, context)
    generator = context.stream(synthetic.part_names[0])
    yield from synthetic.start_from(config.starts_from, splits, context.start, asked.student_lr, generator)
    synthetic.bounds = splits.display_range if config.cuts_pixels else None
    return synthetic.to(context.device)
