"""A process that makes thumbnails, so that no video, however made, can bring the server down.

On stdin it takes a line of JSON for each picture, [path, second, width]; on stdout it answers with a line, the number
of bytes that follow, or a message that begins with "!". It begins with a line that says that it is ready. Its one
argument is the server's process id: it ends when that process has ended, also where a picture takes for ever.
"""

import json
import sys

from mmpt.server.confine import confine, end_with_parent

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
        path, second, width = json.loads(line)
        try:
            picture = thumbnail(path, second, width)
        except (OSError, ValueError, MemoryError) as error:
            message = " ".join(str(error).split()) or type(error).__name__
            out.write(f"!{message[:1000]}\n".encode("utf-8", "replace"))
        else:
            out.write(f"{len(picture)}\n".encode() + picture)
        out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
