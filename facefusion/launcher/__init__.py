"""The guided launcher: own Python environment, conversation, live terminal view.

`environment`, `pip_runs`, `arguments` and `selfcheck` run before anything is installed, so they (and this
file) use the standard library alone.
"""
