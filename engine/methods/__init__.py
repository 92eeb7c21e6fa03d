"""Methods by key. A new one is a folder here and a line below."""

from engine.methods.bilevel.bilevel import METHOD as bilevel
from engine.methods.method import Method

METHODS: dict[str, Method] = {method.key: method for method in (bilevel,)}
