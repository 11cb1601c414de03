"""Turns a mixture into samples and samples into a fine-tuned model: Ray Train, DeepSpeed, transformers."""
