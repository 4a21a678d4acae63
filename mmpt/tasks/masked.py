"""Learning from what is masked."""

from mmpt.tasks.base import Task
from mmpt.utils.registry import register


@register("task")
class VLMTask(Task):
    """VLM's pre-training: masked frames and words of clips, neighbouring clips of a video apart in the batch."""

    order = "even_first"
