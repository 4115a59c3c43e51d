"""A login provider for development: OpenID Connect for people who are made up, on this machine alone."""
