"""The sandbox financing core: what a bank's system would be at the other end of the outbox.

It believes nothing that is not signed (Standard Webhooks) and fresh, books every message once by its id, in SQLite and
before it answers 2xx, and pays every release once by the release's id, whatever messages speak of it. It keeps what is
outstanding on each facility, takes repayments and answers to margin calls, and tells pledgewatch when money has moved.
It counts what a bank's auditor would ask for: repeats, conflicts, messages out of order, gaps, double releases. On
request it misbehaves.

`message` is what is believed, `releases` decides what is paid, `ledger` is what is on disk, `statement` what it comes
to, `movement_sender` tells pledgewatch, `misbehaviour` gets in the way, `app` is HTTP, `program` runs it all.
"""
