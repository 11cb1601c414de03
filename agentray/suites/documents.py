"""The data sets of lm-eval's tasks from local files, in place of the hub.

lm-eval asks `datasets.load_dataset` for every task's documents. While tasks load, `local_documents` answers
it from a directory, in which a task's files are in one of

    DIR/TASK/    DIR/DATASET_PATH/DATASET_NAME/    DIR/DATASET_PATH/

(the last part of the path will do) as `SPLIT.jsonl`, `SPLIT-00000-of-00001.parquet`, `SPLIT_head.json`,
`SPLIT.csv` or a folder `SPLIT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from agentray.errors import DataError, UsageError
from agentray.suites.reading import records

_KINDS = (".jsonl", ".json", ".jsonl.gz", ".parquet", ".csv")
_SUBSET = "subject"
"""Field that tells the data sets of one path apart where they lie in one file."""
_SHOWN = 8


class Wanted(NamedTuple):
    """What a task needs."""

    task: str
    splits: Sequence[str]
    """Those without which it cannot be run; others it may look at."""


_Read = Callable[[Path], Any]


class Documents(datasets.DatasetDict):  # type: ignore[misc]
    """The splits of a task's data set that its folder holds, each read when it is asked for."""

    def __init__(self, wanted: Wanted, folder: Path, subset: str | None, read: _Read) -> None:
        super().__init__()
        self._wanted, self._folder, self._subset, self._table = wanted, folder, subset, read

    def __getitem__(self, split: Any) -> Any:
        """The documents of a split; none of one that the folder lacks and the task does not need.

        Raises:
            UsageError: The folder has no file of it.
            DataError: The file cannot be read.
        """
        name = str(split)
        if name not in self:
            self[name] = self._read(name)
        return super().__getitem__(name)

    def _read(self, split: str) -> Any:
        task, splits = self._wanted
        paths = files_of(self._folder, split)
        if not paths and split not in splits:
            return datasets.Dataset.from_dict({})
        if not paths:
            there = sorted(each.name for each in self._folder.iterdir())[:_SHOWN]
            raise UsageError(
                f"no {split!r} split of {task} in {str(self._folder)!r}",
                f"it holds {there or 'nothing'}",
                f"put {split}.jsonl, .parquet or .csv there",
            )
        table = pyarrow.concat_tables(map(self._table, paths), promote_options="default")
        if self._subset is not None and _SUBSET in table.column_names:
            table = table.filter(pyarrow.compute.equal(table[_SUBSET], self._subset))
        if not table.num_rows:
            raise DataError(
                f"no {split!r} documents of {task} in {str(paths[0])!r}",
                f"no record has {_SUBSET!r} {self._subset!r}" if self._subset else "it has no records",
                "give the data set's file",
            )
        return datasets.Dataset(table)


@contextmanager
def local_documents(directory: Path, wanted: Callable[[], Wanted]) -> Iterator[None]:
    """Inside the block, `datasets.load_dataset` reads below a directory.

    Args:
        directory: `--data`.
        wanted: Says which task is being loaded.
    """
    original, read = datasets.load_dataset, cache(_table)  # many tasks may share a file

    def load(path: str | None = None, name: str | None = None, *_: Any, **how: Any) -> Any:
        folder, subset = _folder(directory, wanted(), path or "", name)
        found = Documents(wanted(), folder, subset, read)
        return found[how["split"]] if how.get("split") else found

    datasets.load_dataset = load
    try:
        yield
    finally:
        datasets.load_dataset = original


def files_of(folder: Path, split: str) -> list[Path]:
    """The files of a split, of the first kind that there is."""
    for kind in _KINDS:
        patterns = (f"{split}{kind}", f"{split}[-_]*{kind}", f"{split}/*{kind}")
        if found := sorted(path for each in patterns for path in folder.glob(each)):
            return found
    return []


def _folder(directory: Path, wanted: Wanted, path: str, name: str | None) -> tuple[Path, str | None]:
    """The folder of a task's data set, and the subset to choose in its files.

    Raises:
        UsageError: The directory has no folder of the task.
    """
    paths = list(dict.fromkeys(each for each in (path, path.rpartition("/")[2]) if each))
    named = [f"{each}/{name}" for each in paths if name]
    places = list(dict.fromkeys([wanted.task, *named, *paths]))
    for each in places:
        if ".." not in Path(each).parts and not Path(each).is_absolute() and (directory / each).is_dir():
            return directory / each, name if each in paths else None
    there = sorted(each.name for each in directory.iterdir())[:_SHOWN] if directory.is_dir() else None
    why = f"it has none of the folders {', '.join(places)}, but {there or 'nothing'}"
    splits = " and ".join(f"{each}.jsonl" for each in wanted.splits)
    raise UsageError(
        f"no data for {wanted.task} in {str(directory)!r}",
        f"{str(directory)!r} is not a directory" if there is None else why,
        f"put {splits or 'the splits'} of {path or wanted.task} into {str(directory / wanted.task)!r}",
    )


def _table(path: Path) -> Any:
    """The records of a file.

    Raises:
        DataError: It cannot be read, or its records do not have the same types.
    """
    try:
        if path.suffix == ".parquet":
            return pyarrow.parquet.read_table(path)
        if path.suffix == ".csv":
            return pyarrow.csv.read_csv(path)
        rows = list(records(path.parent, path.name, (), path.name).values())
        return pyarrow.table({key: [row.get(key) for row in rows] for key in _keys(rows)})
    except (OSError, pyarrow.ArrowException) as error:
        why = " ".join(str(error).split())[:300]
        raise DataError(f"cannot read {str(path)!r}", why, "give the data set's file") from error


def _keys(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The fields of all records, in the order in which they first appear."""
    return list(dict.fromkeys(key for row in rows for key in row))
