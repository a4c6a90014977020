"""A kit: what somebody else runs on a phone, and the judging of what comes back."""
