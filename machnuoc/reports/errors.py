"""What can go wrong with reports, in words for the people who make them."""


class ReportsError(ValueError):
    """An act on a report that cannot be done; the text says why and what to do."""


class ChangedMeanwhile(ReportsError):
    """Somebody else saved first."""


class BadTemplate(ReportsError):
    """A Word template that is not accepted; the text names the field or part."""


class NotNow(ReportsError):
    """The report is in a state in which this cannot be done."""
