"""A warehouse: goods in zones and bins, people who move them and mostly say so, its sensors and its stock system.

    sales, dice ─► people ─► deeds ─┬─► scene (what is where) ─► sensors ─► MQTT, Modbus, lines on ptys
                                    ├─► stock system (what was booked) ─► REST, CSV, X12
                                    └─► ledger of truth (what went wrong, and how much)

What is left of the arrows is pure, and the same for the same seed. What is right of them are bytes, as other people's
devices and systems send them; nothing here knows a reading, a case or a shortfall.
"""
