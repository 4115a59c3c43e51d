"""From the outbox to every endpoint: in order for each facility, until the endpoint has said that it has it."""
