"""Figures that planning gives to the indicators; each area registers its own. Imported once at start-up."""

from machnuoc.planning import programme_measures, project_measures

__all__ = ["programme_measures", "project_measures"]
