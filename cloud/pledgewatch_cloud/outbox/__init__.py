"""From the outbox to the bank's financing core: in order for each facility, until the core has said 2xx."""
