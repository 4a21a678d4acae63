"""A process that makes thumbnails, so that no video, however made, can bring the server down.

On stdin it takes a line of JSON for each picture, [path, stamp, second, width], where the stamp is that of the file as
the server found it (mmpt.utils.content.file_stamp): of a file that has taken its place meanwhile no picture is made. On
stdout it answers with a line, the number of bytes that follow, or a message that begins with "!". It begins with a line
that says that it is ready. Its one argument is the server's process id: it ends when that process has ended, also where
a picture takes for ever.
"""

import contextlib
import json
import os
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
        except Exception as error:  # whatever a file makes a library raise, the next picture has its turn
            message = " ".join(str(error).split()) or type(error).__name__
            out.write(f"!{message[:1000]}\n".encode("utf-8", "replace"))
        else:
            out.write(f"{len(picture)}\n".encode() + picture)
        out.flush()
    return 0


@contextlib.contextmanager
def opened_if_same(path: str, stamp: str) -> Iterator[str]:
    """Give a path that leads to a file that has a stamp, and to no other, whatever is put in its place.

    Raises:
        ValueError: it is another file.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if file_stamp(os.fstat(file)) != stamp:
            raise ValueError(f"{path} is another file than before")
        by_descriptor = f"/proc/self/fd/{file}"
        if os.path.exists(by_descriptor):
            yield by_descriptor
            return
        yield path  # as on macOS, where the file at the path is looked at once more
        if file_stamp(os.stat(path)) != stamp:
            raise ValueError(f"{path} is another file than before")
    finally:
        os.close(file)


if __name__ == "__main__":
    sys.exit(main())
