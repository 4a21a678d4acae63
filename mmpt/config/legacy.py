"""The `fairseq:` block -> typed fields. Nothing else knows that fairseq existed.

The block's groups (common, dataset, optimization, checkpoint, common_eval, ...) have no meaning of their own: every key
stands for the flag of that name, whichever group it is in.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from mmpt.config.training import CheckpointConfig, LoaderConfig, LoggingConfig, OptimConfig
from mmpt.config.typed import Where, fill

Block = TypeVar("Block", OptimConfig, CheckpointConfig, LoggingConfig, LoaderConfig)

UNBOUNDED = ("max_epoch", "max_update")  # 0 means no bound
NUMBERS = ("lr", "update_freq")  # one number, or a list of them
PAIRS = ("adam_betas",)  # a pair, which the original's files write as text: "(0.9, 0.98)"


@dataclass(frozen=True)
class Legacy:
    """What the block says.

    Args:
        optim: how the model learns.
        checkpoint: what is kept, and what the run starts from.
        logging: what the run tells.
        loader: how items become batches.
        ignored: dotted keys that nothing here acts on.
    """

    optim: OptimConfig = field(default_factory=OptimConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    ignored: tuple[str, ...] = ()


def read_legacy(block: Any, problems: list[str], where: Where) -> Legacy:
    """Read the block.

    Args:
        block: what the file says under `fairseq:`; None when it says nothing.
        problems: every problem is added to it, one sentence each.
        where: says where a key is written.

    Returns:
        The typed values; defaults where there is a problem.
    """
    values: dict[str, Any] = {}
    written: dict[str, str] = {}  # key -> its dotted place in the block
    for key, value in _flags(block, problems, where):
        name = key.rpartition(".")[2].replace("-", "_")
        if value is not None:  # null: as if it were not written
            values[name], written[name] = _plain(name, value), key
    taken: set[str] = set()

    def part(cls: type[Block]) -> Block:
        own = {entry.name: values[entry.name] for entry in fields(cls) if entry.name in values}
        taken.update(own)
        found: list[str] = []
        filled = fill(cls, own, "", found)
        for problem in found:  # "lr is 'a'; it takes a list": say whose key it is, and where
            name, _, rest = problem.partition(" ")
            problems.append(f"{written[name]} {rest}{where(written[name])}")
        return filled or cls()

    optim, checkpoint, logging = part(OptimConfig), part(CheckpointConfig), part(LoggingConfig)
    loader = part(LoaderConfig)
    problems.extend(_wrong_items(values, written, where))
    return Legacy(optim, checkpoint, logging, loader, tuple(written[name] for name in written if name not in taken))


def _flags(block: Any, problems: list[str], where: Where) -> Iterator[tuple[str, Any]]:
    if block is None:
        return
    if not isinstance(block, Mapping):
        problems.append(f"'fairseq' is {block!r}, not a block of keys{where('fairseq')}")
        return
    for group, keys in block.items():
        if keys is None:
            continue
        if not isinstance(keys, Mapping):
            problems.append(
                f"fairseq.{group} is {keys!r}, not a block of keys; write fairseq.optimization.lr, for example"
                f"{where(f'fairseq.{group}')}"
            )
            continue
        yield from ((f"fairseq.{group}.{key}", value) for key, value in keys.items())


def _plain(name: str, value: Any) -> Any:
    """Give a value the form of its field; what has another form is left for the check of types."""
    if name in PAIRS and isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return value
    if name in UNBOUNDED and value == 0 and not isinstance(value, bool):
        return None
    if name in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if name in NUMBERS + PAIRS and isinstance(value, list | tuple) else value


def _wrong_items(values: Mapping[str, Any], written: Mapping[str, str], where: Where) -> Iterator[str]:
    """Tell what is in lists that the check of types looks at as a whole only."""
    for name in NUMBERS + PAIRS:
        items = values.get(name)
        if not isinstance(items, tuple):
            continue
        number = int if name == "update_freq" else (int, float)
        right = bool(items) and all(isinstance(item, number) and not isinstance(item, bool) for item in items)
        if not right or (name in PAIRS and len(items) != 2):
            wanted = "two numbers, for example (0.9, 0.98)" if name in PAIRS else "one number or a list of numbers"
            yield f"{written[name]} is {list(items)!r}; it takes {wanted}{where(written[name])}"
