"""Which stretches of a video could not be read."""

from pathlib import Path

ONE_FRAME = 0.05  # seconds, about; by so much the times in a file may differ from the grid


class DamageLog:
    """Notes which stretches of a video could not be read in full, in seconds from its start."""

    def __init__(self, path: Path, start: float) -> None:
        """Begin without damage.

        Args:
            path: the file, for the messages.
            start: the first second that was asked for; what ends before it does not matter.
        """
        self._path = path
        self._start = start
        self._stretches: list[tuple[float, float, str]] = []
        self._open: tuple[float, float, str] | None = None

    def __bool__(self) -> bool:
        return bool(self._stretches)

    def restart(self, second: float) -> None:
        """Forget what was noted from `second` on, because it is read again.

        Args:
            second: what was noted before it stays, and nothing more is noted before it.
        """
        self._start = max(self._start, second)
        self._open = None
        self._stretches = [stretch for stretch in self._stretches if stretch[1] <= second]

    def begin(self, second: float, at_least: float, reason: object) -> None:
        """Note that what follows `second` cannot be read, until `end` is called.

        Args:
            second: where the last good frame ends. A decoder holds back some frames, so that the damage itself may lie
                a few frames later.
            at_least: how many seconds are damaged, however soon a good frame follows.
            reason: what the library said.
        """
        if self._open is not None:
            second, until, _ = self._open
            at_least = until - second
        self._open = (second, second + at_least, str(reason))

    def end(self, second: float) -> None:
        """Note that a good frame is shown from `second` on.

        Args:
            second: when the frame begins, or when the video ends.
        """
        if self._open is None:
            return
        begin, at_least, reason = self._open
        if max(second, at_least) > self._start:
            self._stretches.append((begin, max(second, at_least), reason))
        self._open = None

    def refusal(self) -> str:
        """Put into words that reading stops at the first damage.

        Returns:
            A sentence with the path, the second, the reason, and how to read on all the same.
        """
        second, _, reason = self._stretches[0]
        return (
            f"{self._path} is damaged from second {second:.2f} on ({reason}), and strict reading stops there; "
            "fetch or copy the video again, or read with strict=False to get what can be read"
        )

    def message(self, read_until: float) -> str:
        """Put into words what is missing.

        Args:
            read_until: the second up to which frames were given.

        Returns:
            A sentence with the path, the second from which on something is missing, and the reason.
        """
        inner, (begin, end, reason) = self._stretches, self._stretches[-1]
        parts = []
        if end > read_until + ONE_FRAME:  # the last stretch reaches beyond what was given
            inner = inner[:-1]
            parts.append(f"lost from second {begin:.2f} on ({reason}), about {end - begin:.1f} s")
        if inner:
            missing = sum(end - begin for begin, end, _ in inner)
            parts.insert(
                0,
                f"damaged from second {inner[0][0]:.2f} on ({inner[0][2]}), {missing:.2f} s in {len(inner)} place(s), "
                "where frames are incomplete or stand still",
            )
        return (
            f"{self._path} is {', and '.join(parts)}; all else was read, up to second {read_until:.2f}. "
            "Fetch or copy the video again to have it whole"
        )
