"""A process that takes one uploaded video into a library, within limits of memory and time.

On stdin it takes one JSON object, {address, opening, path, memory, seconds}; on stdout it answers with a line of JSON
for each event, and a last one, {"result": "added" | "known" | "failed", "detail": ...}. Its one argument is the
server's process id: it ends when that process has ended.
"""

import json
import sys
import warnings
from typing import Any, TextIO

from mmpt.server.confine import confine, end_with_parent

FILE_BYTES = 64 << 30  # the largest file that may be written; of a large library, all vectors are in a few


def main() -> int:
    """Take the video in."""
    end_with_parent(int(sys.argv[1]))
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    order = json.loads(sys.stdin.readline())
    confine(memory=order["memory"], seconds=order["seconds"], file_bytes=FILE_BYTES)
    from mmpt.video.thumbnails import thumbnail  # only now, within the limits

    warnings.simplefilter("ignore")
    try:
        thumbnail(order["path"], 0, 160)  # what has no picture is told at once, before a model is loaded
        from mmpt.search.library import VideoLibrary

        library = VideoLibrary(order["address"], **order["opening"])
        report = library.add([order["path"]], on_event=lambda event: _tell(answers, _event(event)))
    except Exception as error:  # whatever a library raises over a file is reported to the client that uploaded it
        detail = str(error) or type(error).__name__
        if isinstance(error, MemoryError) or type(error) is ImportError:  # an installed module cannot be loaded
            detail = f"indexing the video takes more memory than the server allows ({detail})"
        _tell(answers, {"result": "failed", "detail": detail})
        return 1
    if report.failed:
        _tell(answers, {"result": "failed", "detail": report.failed[0][1]})
        return 1
    warned = "; ".join(message for _, message in report.warned)
    _tell(answers, {"result": "added" if report.added else "known", "detail": warned})
    return 0


def _event(event: Any) -> dict[str, Any]:
    return {"event": event.kind, "seconds": event.seconds}


def _tell(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
