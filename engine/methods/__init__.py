"""Methods by key. A new one is a folder here and a line below."""

from engine.methods.bilevel.bilevel import METHOD as bilevel
from engine.methods.method import Method
from engine.methods.ohlc.ohlc import METHOD as ohlc
from engine.methods.podd.podd import METHOD as podd
from engine.methods.rat_bptt.rat_bptt import METHOD as rat_bptt
from engine.methods.selfsup.selfsup import METHOD as selfsup
from engine.methods.trajectory.trajectory import METHOD as trajectory

METHODS: dict[str, Method] = {method.key: method for method in (bilevel, rat_bptt, podd, trajectory, selfsup, ohlc)}
