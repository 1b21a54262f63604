"""What this computer can do, and how it is doing."""
