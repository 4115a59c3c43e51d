"""Remote care on the device: settings and commands from afar, and what becomes of them.

- `overlay.py`: what may be set from afar, and what of it may be used;
- `ledger.py`: what must be remembered so that nothing is done twice and a trial ends, in one file;
- `acts.py`: what a command does to the device, and what a diagnostics bundle holds;
- `care.py`: the one that hears, refuses, tries, goes back and answers.

A station without it (a gateway's) does not ask for these topics and takes nothing from them.
"""
