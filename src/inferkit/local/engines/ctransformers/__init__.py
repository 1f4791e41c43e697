"""The engine over the library in the ctransformers package: llama models with SentencePiece vocabularies."""
