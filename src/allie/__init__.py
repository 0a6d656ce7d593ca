"""ALLiE keeps whole Linux PCs as plain file trees on one server, over rsync."""

__version__ = "0.1.0"
