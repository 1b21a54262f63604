"""From the inbox to the outbox: scan, pair, queue, supervise, publish."""
