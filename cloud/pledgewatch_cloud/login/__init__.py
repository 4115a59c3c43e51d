"""People come in by what an OpenID provider says of them: its keys, its tokens, logins under way, sessions."""
