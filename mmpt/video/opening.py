"""A video file opened: only formats that hold pictures of their own, never what names other files.

libav chooses a format by content, and some formats are lists of other files, which it would open in turn: any file
that the user may read, pipes that never end, the list itself. Three fences keep it to the one file: the head is looked
at first, so that a playlist is named; libav may use the listed formats only; and no protocol but plain files.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import ArgumentError, ExitError, FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from mmpt.video.errors import VideoError, unreadable
from mmpt.video.timing import MICROSECONDS

OPENING_TIMEOUT_S = 60.0  # for libav to open a file and to learn what streams it has
TIMESTAMPS_MAY_JUMP = 0x0200  # AVFMT_TS_DISCONT: set for formats like MPEG-TS, whose timestamps may restart part-way
GENERATE_TIMESTAMPS = 1  # AVFMT_FLAG_GENPTS: PyAV sets it, ffmpeg does not, and what it invents for AVI is out of order
DEFAULT_BONUS = 5_000_000  # pixels; how much ffmpeg favours a stream that is marked as the default one
PEEK_PACKETS = 64  # read at most to learn when each stream begins
HEAD_BYTES = 4096  # of a file, to tell a playlist by

# libav's demuxers that read one file and nothing else. What is not here is not opened, a new one of libav's neither.
VIDEO_FORMATS = (
    "4xm,apng,asf,asf_o,av1,avi,avs,avs2,avs3,bethsoftvid,bfi,bink,c93,cavsvideo,cdxl,cine,dhav,dirac,dnxhd,"
    "dsicin,dv,dxa,ea,ea_cdata,evc,film_cpk,filmstrip,flic,flv,frm,gdv,gif,gxf,h261,h263,h264,hevc,hnm,iamf,"
    "idcin,iff,ifv,ingenient,ipmovie,ipu,ircam,iv8,ivf,jv,kux,live_flv,lmlm4,luodat,lvf,lxf,m4v,matroska,mgsts,"
    "mjpeg,mjpeg_2000,mlv,mm,mods,moflex,mov,mpeg,mpegts,mpegvideo,mpjpeg,msnwctcp,mtv,mv,mvi,mxf,mxg,nsv,nut,"
    "nuv,obu,ogg,paf,pmp,psxstr,pva,r3d,rawvideo,rl2,rm,roq,rpl,ser,sga,siff,smjpeg,smk,smush,swf,thp,tiertexseq,"
    "tmv,ty,usm,vc1,vc1test,vividas,vivo,vmd,vvc,wc3movie,webm,wsvqa,wtv,wv,xmv,yop,yuv4mpegpipe"
)
# Opened in order to be refused by name: sound, text and single pictures.
OTHER_FORMATS = "aac,ac3,adp,aiff,amr,ape,ass,au,caf,dts,eac3,flac,mp3,srt,tak,tta,w64,wav,webvtt,tty,bin,xbin,adf,idf"
PICTURES = sorted(name for name in av.formats_available if name.endswith("_pipe"))
FORMATS = ",".join((VIDEO_FORMATS, OTHER_FORMATS, *PICTURES))
ENCRYPTED_CODECS = (b"encv", b"drmi")  # in mp4 and mov files, in place of the codec's own name
HEADER_BYTES = 2**20  # at either end of an mp4 file, where its header may stand
ENCRYPTED = "{} is encrypted (copy protection), so its pictures cannot be read; give a copy without protection"
NO_PERMISSION = "{} may not be read by this user (permission denied); change its permissions"
NOT_VIDEO = ("tty", "bin", "xbin", "adf", "idf")

# How files begin that only say where other files are. Possessive repeats (*+), so that no head takes long to match.
COMMENTS = rb"(?:#[^\n]*+\n\s*+)*+"
XML_PROLOGUE = rb"(?:<\?xml[^>]*+>\s*+|<!--(?:(?!-->).)*+-->\s*+|<!DOCTYPE[^>]*+>\s*+)*+"
FILE_NAME = rb"[^\x00-\x1f\x7f]+\.(?:mp4|m4v|mkv|webm|mov|avi|m?ts|mpe?g|flv|wmv|m3u8?)(?:\s|$)"
PLAYLISTS = {
    "an ffconcat script": rb"ffconcat\s|" + COMMENTS + rb"(?:stream\s++)*+file\s+\S",
    "an HLS or M3U list": rb"#EXT(?:M3U|INF|-X-)",
    "a PLS list": rb"\[playlist\]",
    "a Windows Media list": rb"\[Reference\]|<asx[\s>]",
    "a DASH manifest": XML_PROLOGUE + rb"<MPD[\s>]",
    "a Smooth Streaming manifest": XML_PROLOGUE + rb"<SmoothStreamingMedia[\s>]",
    "an XSPF list": XML_PROLOGUE + rb"<playlist[\s>]",
    "a SMIL list": XML_PROLOGUE + rb"(?:<\?wpl[^>]*+>\s*+)?<smil[\s>]",
    "an IMF playlist": XML_PROLOGUE + rb"<(?:\w+:)?(?:CompositionPlaylist|AssetMap)[\s>]",
    "an SDP description of a stream": rb"v=0\s+[os]=",
    "a VobSub index": rb"# VobSub index file",
    "a list of addresses": COMMENTS + rb"(?:rtsptext\s+)?[a-z][a-z0-9+.-]{1,20}://\S",
    "a list of files": COMMENTS + FILE_NAME,
}
LISTS = {kind: re.compile(begins, re.DOTALL | re.IGNORECASE) for kind, begins in PLAYLISTS.items()}


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file, and choose the stream that a viewer would see.

    Args:
        path: the file, known to exist.

    Returns:
        The open file and its stream.

    Raises:
        VideoError: it is not a video.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except PermissionError as error:
        raise VideoError(NO_PERMISSION.format(path)) from error
    except OSError as error:  # a disk or a network that gives nothing
        raise VideoError(
            f"{path} cannot be read ({error.strerror or error}); try again, or copy it elsewhere"
        ) from error
    _refuse_playlist(path, head)
    try:
        container = av.open(
            f"file:{path}",
            container_options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
            metadata_errors="replace",  # a title in another encoding does not matter here
            timeout=(OPENING_TIMEOUT_S, None),
        )
    except PermissionError as error:
        raise VideoError(NO_PERMISSION.format(path)) from error
    except ExitError as error:
        raise VideoError(
            f"{path} could not be opened within {OPENING_TIMEOUT_S:g} s; copy it to a faster disk, or convert it with "
            "another program"
        ) from error
    except FFmpegError as error:
        reason = "it is of no format that holds a video" if isinstance(error, ArgumentError) else error.strerror
        raise unreadable(path, head, reason) from error
    except OSError as error:
        raise VideoError(f"{path} cannot be opened ({error.strerror or error})") from error
    name = container.format.name
    if name in NOT_VIDEO or name.endswith("_pipe"):
        container.close()
        raise VideoError(f"{path} is not a video: it reads as {container.format.long_name or name}; give a video file")
    container.flags &= ~GENERATE_TIMESTAMPS
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = {"a cover picture" if stream.type == "video" else stream.type for stream in container.streams}
        container.close()
        found = " and ".join(sorted(kinds)) or "a header"
        raise VideoError(f"{path} has no video stream, only {found}; give a file with moving pictures")
    stream = max(streams, key=_stream_score)
    if _says_it_is_encrypted(path, container, stream):
        container.close()
        raise VideoError(ENCRYPTED.format(path))
    if stream.codec_context is None:
        container.close()
        raise VideoError(f"{path} is coded in a way that PyAV cannot decode; convert it, for example to H.264")
    return container, stream


def is_encrypted(packet: Packet) -> bool:
    """True if a packet cannot be decoded without a key."""
    return packet.has_sidedata("encryption_info")


def _says_it_is_encrypted(path: Path, container: InputContainer, stream: VideoStream) -> bool:
    """True if the header marks the whole stream as encrypted; mp4 files usually mark single packets."""
    if "enc_key_id" in stream.metadata and "matroska" in container.format.name:
        return True
    if "ASF_Protection_Type" in container.metadata and "asf" in container.format.name:
        return True
    if stream.codec_context is not None or "mov" not in container.format.name:
        return False
    with path.open("rb") as file:  # libav keeps the name of an unknown codec to itself
        ends = file.read(HEADER_BYTES)
        file.seek(max(0, path.stat().st_size - HEADER_BYTES))
        ends += file.read(HEADER_BYTES)
    return any(name in ends for name in ENCRYPTED_CODECS)


def _refuse_playlist(path: Path, head: bytes) -> None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for kind, begins in LISTS.items():
        if begins.match(text):
            raise VideoError(
                f"{path} is a playlist, not a video: it reads as {kind}, which only names other files; give those files"
            )


def _stream_score(stream: VideoStream) -> int:
    """Rank the video streams of a file as the ffmpeg command does: the largest, or the one marked as default."""
    area = stream.width * stream.height if stream.codec_context else -1
    return area + DEFAULT_BONUS * bool(stream.disposition & Disposition.default)


def may_jump(container: InputContainer) -> bool:
    """True for formats in which timestamps may restart part-way."""
    return bool(container.format.flags & TIMESTAMPS_MAY_JUMP)


def peek(container: InputContainer, stream: VideoStream, packets: Iterator[Packet]) -> tuple[list[Packet], Fraction]:
    """Read on until the time at which second 0 lies is known; give what was read and that time in seconds."""
    begins = Fraction(container.start_time or 0, MICROSECONDS)
    peeked: list[Packet] = []
    if may_jump(container) and stream.start_time is not None and stream.time_base:
        begins = max(begins, stream.start_time * stream.time_base)  # here ffmpeg looks at the chosen stream alone
    if "matroska" not in container.format.name:
        return peeked, begins
    # The lead-in of an audio codec counts in Matroska, and libav's start_time leaves it out.
    waiting = {audio.index for audio in container.streams.audio}
    while waiting and len(peeked) < PEEK_PACKETS:
        packet = next(packets, None)
        if packet is None:
            break
        peeked.append(packet)
        if packet.stream_index in waiting and packet.pts is not None:
            waiting.remove(packet.stream_index)
            begins = min(begins, packet.pts * packet.time_base)
    return peeked, begins


def packets_of(container: InputContainer, streams: list[Stream] | None = None) -> Iterator[Packet]:
    """Yield the packets of a file, of all streams by default, from where it stands to its end."""
    try:
        # PyAV ends with one empty packet for each stream, and fails there over one that was not there at the opening.
        yield from (packet for packet in container.demux(streams) if packet.size)
    except IndexError:
        return
