"""Which stretches of a video could not be read."""

from pathlib import Path


class DamageLog:
    """Notes which stretches of a video could not be read, in seconds from its start."""

    def __init__(self, path: Path, start: float) -> None:
        """Begin without damage.

        Args:
            path: the file, for the messages.
            start: the first second that was asked for; what ends before it does not matter.
        """
        self._path = path
        self._start = start
        self._stretches: list[tuple[float, float]] = []
        self._open: float | None = None
        self._reason = ""

    def __bool__(self) -> bool:
        return bool(self._stretches)

    def clear(self) -> None:
        """Forget everything, because the file is read again from another place."""
        self._stretches, self._open, self._reason = [], None, ""

    def begin(self, second: float, reason: object) -> None:
        """Note that nothing good follows `second` until `end` is called.

        Args:
            second: where the last good frame ends.
            reason: what the library said.
        """
        if self._open is None:
            self._open = second
        self._reason = self._reason or str(reason)

    def end(self, second: float) -> None:
        """Note that a good frame is shown from `second` on.

        Args:
            second: when the frame begins, or when the video ends.
        """
        if self._open is not None and second > self._start and second > self._open:
            self._stretches.append((self._open, second))
        self._open = None

    def message(self, read_until: float) -> str:
        """Put the damage into words.

        Args:
            read_until: the second up to which frames were given.

        Returns:
            A sentence with the path, the second from which on something is missing, and the reason.
        """
        first, _ = self._stretches[0]
        missing = sum(end - begin for begin, end in self._stretches)
        if first >= read_until:
            return (
                f"{self._path} is lost from second {first:.2f} on ({self._reason}): about {missing:.1f} s are missing; "
                "only the seconds before could be read"
            )
        return (
            f"{self._path} is damaged from second {first:.2f} on ({self._reason}): {missing:.2f} s in "
            f"{len(self._stretches)} place(s) could not be decoded and show the frame before instead; "
            f"what follows was read, up to second {read_until:.2f}"
        )
