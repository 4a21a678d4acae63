"""Torchrun without its noise: `python -m mmpt.cli.spread --nproc-per-node 2 -m mmpt train X.yaml`.

It takes torchrun's words. Torchrun itself ends with 1 and a traceback of its own, whatever its processes ended with and
said; here the exit code is that of the process that failed first.
"""

import logging
import signal
import sys


def main() -> int:
    """Run the processes.

    Returns:
        0, or the exit code of the process that failed first: 128 and the signal's number where a signal ended it.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    arguments = parse_args(sys.argv[1:])
    logging.disable(logging.ERROR)  # what a process says of itself stands above, and the rest is told below
    try:
        run(arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode
        number = -failure.exitcode
        sys.stderr.write(f"mmpt: process {rank} was ended by {signal.Signals(number).name}\n")
        return 128 + number
    except SignalException as stopped:
        return 128 + stopped.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main())
