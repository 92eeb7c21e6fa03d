"""The ImageNet subsets of `imagenet.toml`, names of classes by WordNet id."""

import re
import tomllib
from pathlib import Path

WORDNET_ID = re.compile(r"n\d{8}", re.ASCII)
SUBSETS: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_name("imagenet.toml").read_text(encoding="utf-8")
)
