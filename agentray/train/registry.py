"""The training methods by name; looked up without loading torch."""

from agentray.plugins import Seam

METHODS = Seam(
    "training method",
    {"full": "agentray.train.methods.full:Full", "distill": "agentray.train.methods.distill:Distill"},
    hint="--set train.method=full",
)
