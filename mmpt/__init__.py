"""Video-text models: VideoCLIP and VLM, from raw video to score.

Nothing heavy is imported until it is used, so that `import mmpt` and `mmpt --help` answer at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmpt.models.pretrained import MMPTModel
    from mmpt.models.scorer import Scorer, load
    from mmpt.search.library import VideoLibrary
    from mmpt.video.reader import read_frames

__version__ = "0.1.0"

# public name -> module that defines it
_PUBLIC = {
    "MMPTModel": "mmpt.models.pretrained",
    "Scorer": "mmpt.models.scorer",
    "VideoLibrary": "mmpt.search.library",
    "load": "mmpt.models.scorer",
    "read_frames": "mmpt.video.reader",
}

__all__ = ["MMPTModel", "Scorer", "VideoLibrary", "__version__", "load", "read_frames"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mmpt' has no attribute {name!r}; it offers {', '.join(sorted(_PUBLIC))}")
