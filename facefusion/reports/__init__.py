"""What happened, told to people and to programs: job reports, error and usage analytics."""
