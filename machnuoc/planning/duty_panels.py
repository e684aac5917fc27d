"""What duties add to pages that are not theirs."""
