"""The engine over the library in the xllamacpp package: a llama.cpp of today, for the models of today."""
