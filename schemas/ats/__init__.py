"""What applicant tracking systems send: one file a system, read leniently."""
