"""Grafana dashboards as code: what each panel asks of InfluxDB, and how it is drawn. See docs/DASHBOARDS.md."""
