"""Predictors for tests."""

import time
from collections.abc import Sequence

from mmpt.evaluators.predicting import Item, Row
from mmpt.evaluators.retrieval import RetrievalPredictor
from mmpt.models.base import MMPTPreTrainedModel


class SlowRetrieval(RetrievalPredictor):
    """Takes its time, two items at a time, so that it can be stopped in between."""

    items_at_once = 2

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Encode pairs, slowly."""
        time.sleep(0.2)
        return super().answer(model, items)
