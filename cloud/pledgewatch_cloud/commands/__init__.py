"""The command line `pledgewatch-cloud`: a module for each noun, with its options and what they do.

Each has `add(commands)`; `pledgewatch_cloud/__main__.py` puts them together and knows what ends with which exit code.
At its top a module imports only what whoever audits a journal has installed (the extra `audit`: no web server, no
YAML); what one command needs beyond that is imported where it is run.
"""
