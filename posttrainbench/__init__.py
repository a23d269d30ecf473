"""ptb measures how well an AI agent can post-train a language model by itself."""

__version__ = "0.1.0"
