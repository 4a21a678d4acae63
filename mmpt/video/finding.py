"""Video files: how their names end, how they begin, and which there are below a folder."""

import logging
import stat
from pathlib import Path

from mmpt.utils.walking import walk_files

# What stands behind the last dot of a video's name, in small letters. DiDeMo has names that end in the dot itself.
VIDEO_ENDINGS = frozenset(
    [
        *("", "264", "265", "3g2", "3gp", "3gp2", "3gpp", "amv", "asf", "avi", "bik", "divx", "dv", "dvr-ms", "evo"),
        *("f4v", "flc", "fli", "flv", "gif", "gxf", "h264", "h265", "hevc", "ivf", "lrv", "m1v", "m2p", "m2t", "m2ts"),
        *("m2v", "m4v", "mjpeg", "mjpg", "mk3d", "mkv", "mov", "mp4", "mp4v", "mpe", "mpeg", "mpg", "mpg2", "mpv"),
        *("mts", "mxf", "nsv", "nut", "ogm", "ogv", "qt", "rm", "rmvb", "tod", "tp", "trp", "ts", "vob", "webm"),
        *("wmv", "wtv", "xvid", "y4m"),
    ]
)
# Files of these endings lie beside videos in large numbers, or are sound or pictures in a video's container.
NO_VIDEO_ENDINGS = frozenset(
    [
        *("aac", "aax", "ass", "avif", "bmp", "cr3", "csv", "heic", "heif", "html", "jpeg", "jpg", "json", "jsonl"),
        *("m4a", "m4b", "m4p", "m4r", "mka", "mks", "mp3", "nfo", "npy", "oga", "opus", "pdf", "png", "srt"),
        *("tif", "tiff", "txt", "vtt", "wav", "weba", "webp", "wma", "xml", "yaml", "yml"),
    ]
)
HEAD_BYTES = 400  # of a file's beginning, by which its container is told; three packets of a transport stream
PARAMETER_SETS = (0x67, 0x27, 0x47, 0x09, 0x40, 0x46)  # or a delimiter: how an H.264 or HEVC stream begins
STILL_BRANDS = (b"M4A ", b"M4B ", b"M4P ", b"heic", b"heix", b"mif1", b"msf1", b"avif", b"crx ", b"jpx ")
KNOWN_HEADS = (  # offset, bytes, what a file is that has them there
    *((4, kind, "an mp4 or mov file") for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")),
    (0, b"\x1a\x45\xdf\xa3", "an mkv or webm file"),
    (0, b"FLV", "an flv file"),
    (0, b"\x30\x26\xb2\x75", "a wmv file"),
    (0, b"\x00\x00\x01\xba", "an mpg file"),
    (0, b"\x00\x00\x01\xb3", "an mpg file"),
    (0, b".RMF", "a rm file"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "an mxf file"),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", "a wtv file"),
    (0, b"\x1f\x07\x00", "a dv file"),
    (0, b"DKIF", "an ivf file"),
    (0, b"YUV4MPEG2", "a y4m file"),
    (0, b"nut/multimedia container", "a nut file"),
    (0, b"NSVf", "an nsv file"),
)

logger = logging.getLogger(__name__)


def ends_like_video(name: str) -> bool:
    """True if a file name has the ending of a video, in upper or lower case."""
    stem, dot, ending = name.rpartition(".")
    return bool(stem and dot) and ending.lower() in VIDEO_ENDINGS


def listed_endings() -> str:
    """All endings, for messages."""
    return " ".join(sorted(f".{ending}" for ending in VIDEO_ENDINGS if ending))


def no_video_in(folder: Path) -> str:
    """The message for a folder without videos."""
    return f"{folder} is a folder that holds no video; known endings are {listed_endings()}"


def container_kind(head: bytes) -> str | None:
    """Recognise a video container by a file's first HEAD_BYTES, such as `an avi file`; None if it is not one."""
    for offset, mark, kind in KNOWN_HEADS:
        if head.startswith(mark, offset):
            return kind
    if head.startswith(b"RIFF") and (head[8:12] in (b"AVI ", b"AVIX", b"AMV ", b"CDXA") or len(head) < 12):
        return "an avi file"
    if head.startswith(b"OggS") and any(codec in head for codec in (b"\x80theora", b"OVP80", b"BBCD", b"\x01video")):
        return "an ogv file"
    start, _, unit = head[:5].partition(b"\0\0\1")
    if start in (b"", b"\0") and unit and unit[0] in PARAMETER_SETS:
        return "an h264 or hevc file"
    for first, packet in ((0, 188), (4, 192), (0, 204)):  # plain, with a time before each packet, with error correction
        if len(head) >= HEAD_BYTES and all(head[place] == 0x47 for place in range(first, HEAD_BYTES, packet)):
            return "a ts file"
    return None


def begins_like_video(path: Path) -> bool:
    """True if a file's first bytes are those of a video, whatever its name; False if it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for whoever writes into it
            return False
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    return head[8:12] not in STILL_BRANDS and container_kind(head) is not None


def videos_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Find the video files below a folder, by their endings; what only begins like a video is logged.

    Args:
        folder: where to look.

    Returns:
        The files in order of their names; and the folders that cannot be read, one sentence each.
    """
    barred: list[str] = []

    def note(error: OSError) -> None:
        barred.append(
            f"the folder {error.filename} cannot be read ({error.strerror}); make it readable, or leave it out"
        )

    videos, others = [], []
    for path in walk_files(folder, note):
        if ends_like_video(path.name):
            videos.append(path)
        elif path.suffix[1:].lower() not in NO_VIDEO_ENDINGS and begins_like_video(path):
            others.append(path)
    if others:
        logger.warning(
            "below %s, files that begin like videos are passed over for their endings: %d, such as %s; to read such a "
            "file, give its own path, or give it the ending of a video",
            *(folder, len(others), min(others)),
        )
    return sorted(videos), barred
