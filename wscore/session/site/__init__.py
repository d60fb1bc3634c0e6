"""Who may come in: what decides about newcomers, for every face, without I/O.

Here stand the limits of how many there are at once and of one address, the word of proxies (`forwarded`,
`proxy_protocol`), what proves who somebody is (`auth`), the application's hooks, and what is counted. Times are numbers
that are handed in. What a site's operator is to know goes to the logger "wscore".
"""
