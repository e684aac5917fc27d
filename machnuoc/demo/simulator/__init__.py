"""Simulated stations that speak like real ones: a hydraulic model each, things that happen to them, devices that send.

Nothing of it is a measurement, and every device of it says so (is_simulated). See docs/algorithms/simulator.md.
"""
