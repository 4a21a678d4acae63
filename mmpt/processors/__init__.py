"""From captions and features to the fixed-length sequences that the models take.

`from mmpt.processors import DSAligner` gives any class of this package by its name, also those that YAML files name.
"""

from typing import Any

_KINDS = ("meta_processor", "video_processor", "text_processor", "aligner", "processor")


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        from mmpt.utils import registry

        for kind in _KINDS:
            if name in registry.names(kind):
                return registry.lookup(kind, name)
    raise AttributeError(f"module 'mmpt.processors' has no attribute {name!r}")
