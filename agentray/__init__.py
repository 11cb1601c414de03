"""agentray: turn an open language model into an agent.

Rollout, filter, mix, train, serve and evaluate on Ray, after AgentTuning (arXiv 2310.12823). Importing this
package loads neither Ray nor torch.
"""

__version__ = "0.1.0"
