"""What cannot be done in planning. The text of each says what failed, why, and what to do next."""


class PlanningError(ValueError):
    """An act on plans, targets, tasks, programmes, projects or duties that cannot be done."""


class ChangedMeanwhile(PlanningError):
    """Somebody else saved first."""
