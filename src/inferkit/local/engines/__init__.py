"""The engines that run a model, in the worker process: each a package that `interface` describes."""
