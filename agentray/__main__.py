"""`python -m agentray` is the command line."""

from agentray.cli import main

main()
