"""What plans add to pages that are not theirs."""
