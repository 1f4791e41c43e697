"""Makes smaller files of a model: its weights packed in fewer bits."""
