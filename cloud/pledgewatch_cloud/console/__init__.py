"""The console: one web page over the API, served by the service itself."""
