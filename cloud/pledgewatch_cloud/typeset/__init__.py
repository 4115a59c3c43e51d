"""What is written for people on pages that are the same bytes every time: `text` keeps what is shown in its place,
`pages` sets and draws it as a PDF."""
