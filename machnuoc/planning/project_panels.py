"""What projects add to pages that are not theirs."""
