"""Methods by key. A new one is a folder here and a line below."""

from engine.core.config import MethodConfig, RunRequest, checked
from engine.core.errors import ConfigError
from engine.methods.bilevel.bilevel import METHOD as bilevel
from engine.methods.matching.matching import METHOD as matching
from engine.methods.method import Method
from engine.methods.ohlc.ohlc import METHOD as ohlc
from engine.methods.podd.podd import METHOD as podd
from engine.methods.rat_bptt.rat_bptt import METHOD as rat_bptt
from engine.methods.regression.regression import METHOD as regression
from engine.methods.selfsup.selfsup import METHOD as selfsup
from engine.methods.trajectory.trajectory import METHOD as trajectory

METHODS: dict[str, Method] = {
    method.key: method for method in (bilevel, rat_bptt, podd, trajectory, regression, matching, selfsup, ohlc)
}


def find_method(key: str) -> Method:
    """A method by its key. Raises ConfigError if there is none."""
    if key not in METHODS:
        raise ConfigError(f"There is no method '{key}'. Choose one of: {', '.join(METHODS)}.")
    return METHODS[key]


def config_of(request: RunRequest) -> MethodConfig:
    """The config of a request, with every default. Raises ConfigError if the method or an option is unknown."""
    return checked(find_method(request.method).config, request.config, f"config of method '{request.method}'")
