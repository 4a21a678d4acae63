"""A process that makes thumbnails, so that no video, however made, can bring the server down.

It reads a line of JSON from stdin for each picture: [path, stamp, second, width]. The stamp is that of the file as the
server found it (mmpt.utils.content.file_stamp); if another file has taken its place, no picture is made. On stdout it
answers with a line: the number of bytes that follow, or a message that begins with "!". Its first line says that it is
ready. Its one argument is the server's process id: it exits when that process has ended, even during a picture that
never finishes.
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator

from mmpt.server.confine import confine, end_with_parent
from mmpt.utils.content import file_stamp

READY = b"ready\n"  # before the first answer: what was imported does not count as a picture's time
MEMORY = 2 << 30  # bytes of address space


def main() -> int:
    """Answer until stdin ends."""
    end_with_parent(int(sys.argv[1]))
    confine(memory=MEMORY, file_bytes=0)
    from mmpt.video.thumbnails import thumbnail  # only now, within the limits

    out = sys.stdout.buffer
    out.write(READY)
    out.flush()
    for line in sys.stdin:
        path, stamp, second, width = json.loads(line)
        try:
            with opened_if_same(path, stamp) as source:
                picture = thumbnail(source, second, width)
        except Exception as error:  # whatever a library raises over one file, the next picture is made
            named = path.join(re.split(r"/proc/self/fd/\d+", str(error)))
            message = " ".join(named.split()) or type(error).__name__
            out.write(f"!{message[:1000]}\n".encode("utf-8", "replace"))
        else:
            out.write(f"{len(picture)}\n".encode() + picture)
        out.flush()
    return 0


@contextlib.contextmanager
def opened_if_same(path: str, stamp: str) -> Iterator[str]:
    """Open a file, and yield a path that leads to it, even if the file is replaced meanwhile.

    Raises:
        ValueError: the file does not have the stamp.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if file_stamp(os.fstat(file)) != stamp:
            raise ValueError(f"{path} is another file than before")
        by_descriptor = f"/proc/self/fd/{file}"
        if os.path.exists(by_descriptor):
            yield by_descriptor
            return
        yield path  # as on macOS: check afterwards that it is still the same file
        if file_stamp(os.stat(path)) != stamp:
            raise ValueError(f"{path} is another file than before")
    finally:
        os.close(file)


if __name__ == "__main__":
    sys.exit(main())
