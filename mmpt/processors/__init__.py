"""From captions and features to the fixed-length sequences that the models take.

`from mmpt.processors import DSAligner` gives any class of this package by its name, also those that YAML files name.
"""

from importlib import import_module
from typing import Any

_ROLES = {  # what one's own classes build on, and YAML files do not name
    "Aligner": "mmpt.processors.aligner",
    "MetaProcessor": "mmpt.processors.base",
    "Processor": "mmpt.processors.base",
}
_KINDS = ("meta_processor", "video_processor", "text_processor", "aligner", "processor")


def __getattr__(name: str) -> Any:
    if name in _ROLES:
        return getattr(import_module(_ROLES[name]), name)
    if not name.startswith("_"):
        from mmpt.utils import registry

        for kind in _KINDS:
            if name in registry.names(kind):
                return registry.lookup(kind, name)
    raise AttributeError(f"module 'mmpt.processors' has no attribute {name!r}")
