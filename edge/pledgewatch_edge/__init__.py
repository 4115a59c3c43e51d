"""The edge agent: sensors, spool and uplink on the device."""
