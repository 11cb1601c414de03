"""From a conversation to token ids by the model's own chat template, for training and inference alike."""

from agentray.chat.template import Template, TemplateError, Tokenizer
from agentray.chat.turns import Prompt, Span, View, prompt_of, views

__all__ = ["Prompt", "Span", "Template", "TemplateError", "Tokenizer", "View", "prompt_of", "views"]
