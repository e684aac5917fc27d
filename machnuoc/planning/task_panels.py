"""What tasks add to pages that are not theirs."""
