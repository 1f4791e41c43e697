"""`python -m inferkit`: the command line."""

from inferkit.cli import main

main()
