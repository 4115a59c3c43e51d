"""Fitting a board: what is on it is found and shown, the configuration written, the service installed, all tested.

    finding -> live -> choices -> draft -> unit -> self_test

Only setup_command.py knows the order. What is found is measured by the sensors that will measure it later, so what a
technician sees is what the cloud will get.
"""
