"""The contents of each kind of report, a module each; found by `kinds` when it is first asked."""
