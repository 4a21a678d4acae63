"""Which videos train together: neighbours in the model's own space, found anew as it learns."""

from mmpt.retrieval.neighbours import Neighbours, Retriever, VectorRetriever
from mmpt.retrieval.planner import Plan, clips_of_plan, is_due, plan_clusters, plan_epoch
from mmpt.retrieval.vectors import VectorPool, VideoVectorPool, embed_videos

__all__ = [
    "Neighbours",
    "Plan",
    "Retriever",
    "VectorPool",
    "VectorRetriever",
    "VideoVectorPool",
    "clips_of_plan",
    "embed_videos",
    "is_due",
    "plan_clusters",
    "plan_epoch",
]
