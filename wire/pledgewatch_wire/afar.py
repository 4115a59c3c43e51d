"""What may be set of a device by somebody who does not stand before it: one list, for who says it and who obeys.

It is a list of what may be set, not of what may not: who the device is, its keys, how it lets itself be cared for and
what its clock is worth are for whoever stands before it. `[broker]` is settings' only; to who claims it is answered.
"""

from typing import Final

INVITED: Final = ("uplink", "checkpoint", "spool", "sampling")
"""What an invitation may bring along, beside the sections of sensors."""
SETTABLE: Final = ("broker", *INVITED)
"""What settings from afar may hold, beside the sections of sensors."""
BROKER_KEYS: Final = ("host", "port", "protocol", "keep_alive_s", "reconnect_max_s")
"""What of `[broker]` may be set."""
SENSORS: Final = ("gps", "gpsd", "onewire", "modbus", "contacts", "sht3x", "adxl345", "host")
"""The sections of the agent's own sensors. A device may have more, by other packages, and knows them itself."""
