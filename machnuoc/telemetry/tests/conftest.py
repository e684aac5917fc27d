"""Fixtures of this room's tests that more than one file uses."""

from machnuoc.telemetry.tests.sta_world import device_token, measured, province, stations, token

__all__ = ["device_token", "measured", "province", "stations", "token"]
