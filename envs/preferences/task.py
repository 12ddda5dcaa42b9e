"""Preferences-v0."""

from collections.abc import Sequence
from typing import ClassVar

from envs.corpora.records import AnyRecord
from envs.corpora.splits import SPLITS
from envs.preferences.columns import parse_columns
from envs.preferences.sources import read_all
from envs.preferences.splits import rows_of_split
from envs.text_task import TextTask, data_name
from perlhf.errors import DataError, UserError, did_you_mean

_INPUTS = "a file, folder or glob of jsonl, json, csv or parquet, or hub:ORG/NAME"
_DIVISIONS = ("auto", "all")


class Preferences(TextTask):
    """Answer prompts of one's own, as people who compared or rated answers would like it.

    ## Description
    The prompts, and what is learned from, are those of a file in one of the forms that preference data have
    (`envs.preferences.rows`; docs/tasks/preferences.md). A prompt of messages is a `perlhf.conversation.Conversation`.

    ## Action Space
    `Unicode(20000)`: the text of the answer.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: text as it is in the file; of messages the transcript.

    ## Reward
    There is none by default, and no judge: `reward` must be given.

    ## Arguments
    `data`: a file, a folder or a glob of jsonl, json, csv or parquet files, or "hub:ORG/NAME". There are no miniature
    data. `split`: "train", "validation" or "test"; see `envs.preferences.splits`.
    `columns`: what columns are called, such as "prompt=question,chosen=good".
    `splits`: "auto", or "all": every row is in every split, and nothing is held out. `instructions`: the system's
    message, for models with a chat template.
    `reward`, `render_mode`: see `envs.core.TaskEnv`.
    """

    default_reward = ""
    needs_data: ClassVar[bool] = True

    def __init__(
        self,
        data: str = "miniature",
        split: str = "train",
        columns: str = "",
        splits: str = "auto",
        instructions: str = "",
    ) -> None:
        """
        Args:
            data, split, instructions: as of `TextTask`, but that `data` must be given.
            columns: NAME=COLUMN, with commas between.
            splits: "auto" or "all".
        """
        self.columns = parse_columns(columns)
        if splits not in _DIVISIONS:
            raise UserError(f"unknown splits {splits!r}.{did_you_mean(str(splits), _DIVISIONS)}")
        self.splits = splits
        if data_name(data) in ("miniature", "hub", ""):
            raise UserError(f"Preferences-v0 has no data of its own: give --data (in Python data=) {_INPUTS}.")
        super().__init__(data, split, instructions)

    def _read(self) -> Sequence[AnyRecord]:
        kept = read_all(self.data, self.columns)
        if self.splits == "all":
            return self._instructed(kept.records)
        rows = rows_of_split(kept.keys, kept.sides, self.split)
        if not len(rows):
            raise self._no_records(len(set(kept.keys.tolist())))
        return self._instructed(kept.rows(rows))

    def _no_records(self, prompts: int) -> DataError:
        why = f"{prompts} distinct prompt{'s' if prompts > 1 else ''} are too few for {len(SPLITS)} splits"
        return DataError(
            f"{self.data}: no records in split {self.split!r}: {why}; give more, a folder with files named train and "
            "test, or --env-options splits=all, which holds nothing out."
        )
