"""What programmes add to pages that are not theirs."""
