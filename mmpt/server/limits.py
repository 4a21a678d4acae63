"""How much at a time: who asks for more is answered 429 at once, and nobody hangs."""

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable

from mmpt.server.errors import BusyError

MAX_CLIENTS = 4096  # whose pace is remembered; the one not heard of for longest is forgotten first


class Gate:
    """Lets some through at a time, lets some wait for a while, and turns the others away.

    Args:
        what: what goes through, for messages: "searches".
        running: how many at a time.
        waiting: how many may wait.
        patience: seconds that one waits at most.
    """

    def __init__(self, what: str, *, running: int, waiting: int, patience: float) -> None:
        self.what = what
        self.running = 0
        self._most = running
        self._places = waiting
        self._patience = patience
        self._line: deque[asyncio.Future[None]] = deque()  # who waits; a place is handed to the first

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            BusyError: all places are taken and enough wait, or none became free in time.
        """
        if self.running < self._most:
            self.running += 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._release()

    async def _wait(self) -> None:
        if len(self._line) >= self._places:
            raise self._busy()
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:  # a client may go away while it waits
            if turn.done() and not turn.cancelled():
                self._release()  # its turn came at the same moment
            elif turn in self._line:
                self._line.remove(turn)
            if isinstance(error, TimeoutError):
                raise self._busy() from None
            raise

    def _release(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():  # else whoever waited has just left
                turn.set_result(None)
                return
        self.running -= 1

    def _busy(self) -> BusyError:
        return BusyError(f"the server is busy: {self._most} {self.what} run, and {len(self._line)} wait", 1)


class Pace:
    """Lets each client do so many things a second.

    Args:
        what: what is done, for messages: "searches".
        per_second: how many, over time.
        burst: how many at once, after a pause.
        clock: gives the time in seconds.
    """

    def __init__(
        self, what: str, *, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.what = what
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> what it has left, and when

    def take(self, client: str) -> None:
        """Count one thing.

        Args:
            client: who does it.

        Raises:
            BusyError: the client does too much; it says when to come again.
        """
        now = self._clock()
        left, when = self._clients.pop(client, (float(self._burst), now))
        left = min(float(self._burst), left + (now - when) * self._per_second)
        enough = left >= 1
        self._clients[client] = (left - 1 if enough else left, now)
        while len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        if not enough:
            raise BusyError(f"too many {self.what} from {client}", (1 - left) / self._per_second)
